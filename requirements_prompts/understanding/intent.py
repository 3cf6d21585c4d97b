"""What somebody is after: a model, advice about models, or neither; and how much they know.

>>> asks_advice("which model should i use for cars?"), asks_advice("can you build a car detector?")
(True, False)
>>> read_knowledge("i am no expert"), read_knowledge("miou of a quantised segformer")
('novice', 'expert')
"""

from __future__ import annotations

import re

from .metrics import find_metrics

_SENTENCE = re.compile(r"(?:[^.!?\n]|[.!?](?=\S))+[.!?\n]?")
_ML = (
    r"(?:model|algorithm|network|architecture|metric|loss|data ?sets?|optimi[sz]er|framework|engine|method|approach"
    r"|hardware|library|classifier|backbone|technique|tool|gpu|features?)s?"
)
_CONSULT = re.compile(
    rf"\b(?:which|what)(?: (?:kind|type|sort) of)?(?: \w+){{0,3}} {_ML}\b(?=[^?]*\?|[^.]*\b(?:should|would|could|can"
    rf"|is|are|do)\b)"
    r"|\b(?:which|what) (?:is|are|would be|works?) (?:the |a |an )?(?:\w+ )?(?:faster|better|best|difference|good"
    r"|right|suitable|typical|usual|most|more|smaller|cheaper|state)|\bwhat (?:accuracy|performance|f1|score|latency"
    r"|speed|results?)\b[^?.]*\b(?:expect|get|reach|achieve|realistic|possible|typical)|\bwhat (?:does"
    r"|do) [^?.]{1,40} mean|\bwhat (?:is|are) (?:an? |the )?(?:map|miou|iou|f1|auc|recall|precision|overfitting"
    r"|hypernetwork|lora|transfer learning|fine-?tuning|quanti[sz]ation|cross[- ]validation|regulari[sz]ation"
    r"|embedding|backpropagation|transformer|r2|rmse)\b|\b(?:should|shall) (?:i|we|one)\b|\bdo (?:i|we) (?:need"
    r"|have to|really)\b|\bwould you (?:recommend|suggest|advise|use|choose|pick)|\b(?:do|can|could) you (?:recommend"
    r"|suggest|advise)|\bis (?:it|this|that) (?:possible|better|feasible|worth|ok|okay|realistic|advisable|hard|true"
    r"|normal|common|easier|reasonable)|\bis there (?:a|any|some)\b[^?]*\b(?:way|method|model|rule|difference|dataset"
    r"|data set|tool|trick|possibility)|\b(?:is|are) [^?.]{1,60} (?:realistic|feasible|achievable|good enough|overkill"
    r"|too (?:much|little|few|small|large|ambitious|good|optimistic)|enough (?:to|for))\b[^?.]*\?|\bhow (?:can|do"
    r"|should|could|would|might) (?:i|we|one|you|people)\b|\bhow (?:to|do you) (?:choose|handle|deal|evaluate|speed"
    r"|improve|avoid|measure|prepare|deploy|tune)\b|\bhow (?:much|many) (?:\w+ )?(?:data|images|samples|examples|rows"
    r"|gpus?|memory|epochs|photos|pictures|labels|texts|sentences|training)\b[^?]*\b(?:need|enough|required|necessary"
    r"|should|take|have)|\bhow (?:large|big|fast|accurate|good|expensive|slow|reliable|much better) (?:is|are|can"
    r"|should)\b|\bhow (?:does|do|did|is|are)\b[^?.]*\b(?:differ|work|compare|evaluated|trained|usually|measured"
    r"|handled|defined|different|calculated|computed)|\bhow long does (?:it|training|fine-?tuning)\b|\bwhy (?:does|do"
    r"|is|are|did|would|should)\b|\b(?:explain|compare|elaborate)\b(?!\w)|\bpros and cons|\b(?:an?|any|some|need|want"
    r"|your|for|looking for) (?:advice|tips?|recommendations?|suggestions?|hints?|ideas? (?:how|on|about)|guidance"
    r"|opinion)\b|\bwondering\b|\bi(?:'d like| want| would like| am trying| need) to (?:understand"
    r"|learn (?:about|how|what|more)|know (?:how|what|why|more|the difference))|\bhelp me (?:choose|decide|understand"
    r"|pick|select)|\btell me (?:about|the (?:difference|pros|advantages)|why|how|more|what)|\bwhat'?s (?:the"
    r"|a) (?:best|difference|advantage|point|good|typical|usual|right)|\bdifference between\b|\badvantages? (?:of"
    r"|and)\b|\bgood enough (?:for|to)|\bdo(?:es)? (?:\S+ ){1,4}(?:support|need|require|work|help|handle|suffice|beat"
    r"|outperform)\b|\bis (?:an? |the )?[^?.]{1,60}\bbetter\b|\bcan (?:\S+ ){1,3}(?:handle|deal with|learn"
    r"|cope)\b|\bcan you tell me (?:which|what|how|why)[^?.]*\?|\bcan (?:i|we|one) (?:use|run|train|get|combine"
    r"|deploy)\b|\bwould (?:\S+ ){1,4}(?:beat|work|help|suffice|outperform)\b|\bis \d[\d.]*[^?.]{0,30}\b(?:good|bad"
    r"|enough|normal|high|low|okay)\b[^?]*\?|\bthoughts on\b|\bwhat do you think|\bwhat happens (?:if|when)"
)
_BUILD = re.compile(
    r"^(?:(?:hi|hello|hey|ok|so|and|then|dear|please|pls|kindly|now)\b[\w ]{0,20}?,? ?)*(?:build|create|make|develop"
    r"|design|give me|provide|produce|implement|set up|write (?:me )?(?:a|an) (?:model|classifier|network)|train"
    r"|fine-?tune)\b|\b(?:i|we) (?:\w+ )?(?:need|want|require|would like"
    r"|'d like)(?: (?:you|to have|to get|to build|to train|to develop|to create))* (?:an?|some|the"
    r"|one)\b(?! (?:advice|tips?|recommendation|explanation|idea|answer|understanding))|\b(?:can|could|would"
    r"|will) you (?:please |kindly )?(?:build|create|make|develop|design|train|give|write|set up|provide|produce)"
)
_ML_WORDS = re.compile(
    r"\b(?:models?|networks?|neural|classifiers?|detectors?|regressors?|predictors?|recogni[sz]ers?|machine learning"
    r"|deep learning|artificial intelligence|ai|ml|algorithms?|predictive|computer vision|nlp)\b"
)
_TASK_WORDS = re.compile(
    r"\b(?:classification|detection|segmentation|recognition|regression|clustering|forecasting"
    r"|pose estimation|identification)\b"
)
_DATA_WORDS = re.compile(
    r"\b(?:csv|spreadsheet|excel|data ?sets?|data ?frame|columns|rows|labell?ed|features|training data|samples)\b"
)
_ML_TALK = re.compile(
    r"\b(?:hyper-?networks?|hyper-?parameters?|overfit\w*|underfit\w*|training|fine-?tun\w*|pre-?train\w*"
    r"|learning rate|loss|embeddings?|backprop\w*|gradient|epochs?|batch size|data|datasets?|labels?|gpus?|inference"
    r"|quanti[sz]\w*|transformers?|classification|regression|segmentation|detection|clustering|forecasting"
    r"|augmentation|cross-?validation|regulari[sz]\w*|features?|lora|latency|onnx|distill\w*|prun(?:e|ing)"
    r"|transfer learning)\b"
)
_NOVICE = re.compile(
    r"\b(?:no expert|not (?:a |an )?(?:programmer|expert|technical|developer|computer person)|no (?:idea|clue"
    r"|experience|knowledge)|beginner|newbie|layman|new to (?:this|machine|ai|ml)|never (?:programmed|coded|done"
    r"|trained)|i don't (?:know|understand) (?:much|anything"
    r"|how)|don't know anything|simple words|no background|first time|i am 1\d\b|i'm 1\d\b|grandm|grandf)"
)
_EXPERT = re.compile(
    r"\b(?:m?iou|map|backbone|g?flops|macs|quanti[sz]\w*|int8|fp16|ndcg|auroc|tensorrt|openvino|ncnn|onnx\w*|fpn"
    r"|fine-?tun\w+|pre-?train\w*|distill\w*|lora|macro f1|micro f1|pck|oks|bleu|rouge|batch size|ablation|baseline"
    r"|r-?cnn|hrnet|segformer|deeplab\w*|ensembles?|hyper-?parameters?|embeddings?|logits?|throughput)\b"
)
_PRACTITIONER = re.compile(
    r"\b(?:accuracy|precision|recall|f1|auc|r2|rmse|mae|dataset|data set|train(?:ed|ing)?|parameters|params|latency"
    r"|gpu|cpu|inference|features|classifier|regression|segmentation|neural)\b"
)


def asks_advice(text: str) -> bool:
    """Whether a lower-case text asks for advice, and orders nothing in another sentence."""
    sentences = [s.strip() for s in _SENTENCE.findall(text)]
    asking = [s for s in sentences if _CONSULT.search(s)]
    return bool(asking) and not any(_BUILD.search(s) for s in sentences if s not in asking)


def talks_of_learning(text: str) -> bool:
    """Whether the words are of machine learning at all: advice on cooking is not given."""
    return bool(_ML_TALK.search(text)) or bool(find_metrics(text))


def weight_of_words(text: str) -> int:
    """How much single words speak for a request about a model: two points each for models, data and task nouns."""
    return 2 * sum(bool(rule.search(text)) for rule in (_ML_WORDS, _DATA_WORDS, _TASK_WORDS))


def read_knowledge(text: str) -> str | None:
    """novice, practitioner or expert, by what somebody says of themselves and the terms they use."""
    if _NOVICE.search(text):
        return "novice"
    if len({m[0] for m in _EXPERT.finditer(text)}) >= 2:
        return "expert"
    return "practitioner" if _PRACTITIONER.search(text) or _EXPERT.search(text) else None

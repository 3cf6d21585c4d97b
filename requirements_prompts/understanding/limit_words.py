"""The words around a number that say what it limits: patterns for `limits`, by subject.

>>> bool(TRAINING.search("trained in under ")), bool(SAMPLED_AFTER.match(" cameras"))
(True, True)
"""

from __future__ import annotations

import re


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


SENTENCE_END = _rule(
    r"[;!?\n]|(?<!\.)\.(?=\s|$)(?<!\bmax\.)(?<!\bmin\.)(?<!\bapprox\.)(?<!\bca\.)(?<!e\.g\.)(?<!i\.e\.)"
    r"| [-\u2013\u2014]{1,2} "
)
PARAMETERS_AFTER = _rule(
    r"[ -]{0,2}(?:(?:trainable|learnable|model|free|network|of|total) ){0,2}(?:params?|parameters?"
    r"|weights)\b(?! (?:such as|like|describing))"
)
PARAMETERS = _rule(r"\b(?:params?|parameters?|weights|parameter (?:count|budget|amount|number))\b")
FLOPS = _rule(r"\b[kmgtpe]?(?:flops?|macs)\b|\bfloating[- ]point operations\b|\bcomputations?\b")
TRAINING = _rule(
    r"\b(?:train(?:s|ed|ing)?|retrain(?:ed|ing)?|fit(?:ted|ting)?(?! (?:in|into|on|within|onto)\b)|learn(?:s|ing)?"
    r"|fine-?tun(?:e|ed|ing))\b(?! (?:data|set|images?|examples|rows)\b)"
)
LATENCY = _rule(
    r"\b(?:latency|delay|inference|infer|respons(?:e|es)|respond\w*|runtime|run(?:s|ning)? ?(?:time)?|tak(?:e|es|ing)"
    r"|process(?:es|ed|ing)?|predict\w*|answers?|answered|decid\w*|budget|speed|fast|quick(?:ly)?|per|each"
    r"|an? (?:image|picture|frame|row|sample|text)|real[- ]time|within|classif\w*|detect\w*|limit|execut\w*"
    r"|prediction time|needs?|finish\w*|delivers?|results?)\b"
)
LATENCY_AFTER = _rule(
    r"[ ,]*(?:per|for (?:one|each|an?|every)|an? (?:image|frame|row|picture|sample|text|scan)|each|latency|inference"
    r"|response|max|or (?:less|faster)|at (?:the )?most|is (?:okay|ok|fine|the)|tops|on )\b"
)
NOT_LATENCY = _rule(
    r"(?:\b(?:next|last|past|previous|every|each|coming|following|first|sampled|for|since|after|over the|of the|one"
    r"|ahead|took|early|late|old|aged|from|per|clips? of|recordings? of|videos? of|windows? of|sequences? of"
    r"|history of))\s*(?:the |about )?$"
)
NOT_TIME_AFTER = _rule(
    r"[ -]*(?:(?:audio|video|sound|long|short) )?(?:clips?|videos?|recordings?|windows?|segments?|history|long|old|ago"
    r"|ahead|of (?:audio|video|speech|data|history|age)|intervals?|in advance|before|after|horizons?|networks?|model"
    r"|class|language)\b"
)
WAITING = _rule(r"\b(?:delayed|late|lasts?|lasted|stay\w*|wait\w*|arriv\w*|older|spent)\b[^.;]{0,25}$")
JOINED = _rule(r"(?: scores?)?\s*(?:,|and|&|/|as well as|and also)\s*(?:the |an? )?")
ALONE_BEFORE = _rule(r"(?:^|[,;(:.]|\s[-\u2013])\s*(?:(?:at least|min\.?|minimum|over|above|>=?|≥)\s*)?$")
ALONE_AFTER = _rule(r"\+?\s*(?:$|[,;).]|[-\u2013]\s|(?:or (?:more|better)|please|pls|min|minimum|at least)\b)")
RATE = _rule(r"\b(?:fps|frames per second|throughput)\b")
NOW = _rule(
    r"\b(?:(?:current|present|existing|old|today's) (?:model|network|solution|system|one|classifier|detector"
    r"|version)\b|currently|right now|at the moment|so far|until now|only reach\w*|presently|today it)\b"
)
MEMORY = _rule(
    r"\b(?:v?ram|memory|memories|gpus?|boards?|machines?|computers?|laptops?|servers?|phones?|devices?|tablets?|watch"
    r"|pi|jetson|chips?|microcontrollers?|mcu|controllers?|workstations?|card|workspace|vm)\b"
)
MEMORY_AFTER = _rule(
    r"[ -]*(?:of )?(?:(?:gpu|video|main|working|free|device|system|cpu|available|flash) )?(?:v?ram|memory"
    r"|virtual machine|vm|gpus?|machine|card|board|laptop|phone|device|server)\b"
)
SIZE = _rule(
    r"\b(?:size|sized|disk|file|storage|download|weigh\w*|big|large[r]?|bigger|small(?:er)?|heavy|heavier|fits?"
    r"|fit into|exceed\w*|model|megabytes)\b"
)
NOT_BYTES_AFTER = _rule(
    r"[ -]*(?:of |worth of )?(?:training |image |video |log |text |raw )?(?:data|images|pictures|photos|videos?|logs?"
    r"|texts?|records|recordings|footage|datasets?|data ?sets?)\b"
)
SAMPLED = _rule(
    r"\b(?:sampl\w+|record\w*|captur\w+|filmed|delivers?|arriv\w+|camera(?: \w+)?|sensor|signals?|films?)(?: (?:at"
    r"|with|in))?\s*(?:about |a rate of )?$"
)
SHOOTS = _rule(
    r"\b(?:cameras?|sensors?|scanner)\b[^.;]{0,40}\b(?:takes|shoots|produces|records|captures|delivers)\s*(?:about )?$"
)
SAMPLED_AFTER = _rule(r"[ -]*(?:cameras?|videos?|footage|recordings?|streams?|signals?|sampling|sensors?|clips?)\b")
METRIC_AFTER = _rule(
    r"[ -]*(?:or (?:more|higher|better|above)\s+)?(?:(?:of|in|for|on|the|test|validation|mean|overall|average|minimum"
    r"|classification|detection|macro|micro|top-1|a)\s+){0,3}$"
)
OWN_NUMBER = _rule(
    r"\s*(?:(?:score|value|rate|on|the|test|set)\s+){0,2}(?:of|at|above|over|below|under|at least|at most|>=?|<=?|≥|≤"
    r"|=|:|is|should be|must be)?\s*\.?\d"
)
RIGHT = _rule(
    r"\b(?:right|correct(?:ly)?|of (?:the|all) (?:time|cases)|hits?|succe(?:ed|ss)\w*|be sure|properly|reliab\w+|(?:is"
    r"|are|would be) (?:enough|sufficient|fine|ok|okay|good|great|acceptable))\b"
)
PLAIN_NOUN = _rule(
    r"[ -](?!(?:or|and|on|in|at|for|is|are|with|but|while|when|to|please|pls|test|would|will|should|must|by|as|if"
    r"|using|thanks|max|min|though|because|so|minimum|maximum|tops|if|than)\b)[a-z]{3,}"
)
UNIT_AFTER = _rule(
    r" ?(?!(?:or|and|on|in|at|for|is|are|with|but|while|when|to|please|pls|max|min|would|should|must|maximum|minimum"
    r"|tops|using|by|as|if|so|than|per|rmse|mae|mse|mean|on)\b)([a-z°€$£%]{1,15})\b"
)
LATENCY_NAMED = _rule(r"\b(?:latency|inference|respon\w+|per image)\b")
TRAINING_AFTER = _rule(r"\s*(?:(?:of|for|to|the|in|max|maximum|or less) ){0,3}(?:re)?(?:train|fine-?tun)")
DATA_BEFORE = _rule(r"\b(?:data|dataset|data set|corpus|archive)\s*(?:of|is|has|with|:)?\s*(?:about )?$")

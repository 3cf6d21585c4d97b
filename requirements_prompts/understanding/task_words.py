"""The words that name a task: patterns for `said`, on lower-case text.

>>> bool(SEGMENTATION.search("pixel-wise masks of roads")), bool(NUMBER_ASKED.search("how many bikes get rented"))
(True, True)
"""

from __future__ import annotations

import re

from .lexicon import word_set


def _rule(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


FAMILY_WORDS = _rule(r"\b(?:logistic|linear|ridge|lasso|polynomial) regression\b")
OTHER = _rule(
    r"\breinforcement learning|\bspeech[- ](?:to[- ]text|recognition)|\btranscri(?:be|ption|bing)|\bocr\b"
    r"|\btext recognition|\bsuper[- ]resolution|\bupscal|\bdenois|\bcolori[sz](?:e|ing|ation)|\bnamed[- ]entit|\bner\b"
    r"|\bpart[- ]of[- ]speech|\bdepth estimation|\boptical flow|\btext[- ]to[- ]speech|\bsource separation"
    r"|\bspeaker diari[sz]ation|\binpaint|\bstyle transfer"
    r"|\bread(?:s|ing)? (?:the )?(?:text|number plates?|digits? from)"
)
SEGMENTATION = _rule(
    r"\bsegment(?:s|ed|ing|ation)?\b|\b(?:each|every|label(?:s|l?ing)?(?: the| all)?) pixels?\b"
    r"|\bpixel[- ](?:wise|level|accurate|by[- ]pixel|perfect)|\bper[- ]pixel"
    r"|\b(?:segmentation |pixel |binary |instance |object )masks?\b"
    r"|(?<!face )(?<!detect )(?<!detecting )(?<!detects )"
    r"(?<!wearing )(?<!medical )(?<!surgical )(?<!gas )\bmasks\b(?! r-?cnn| detect)|\bmask of\b"
    r"|\boutlin(?:e|es|ing)\b|\bdelineat|\bcut(?:s|ting)? out\b"
    r"|\bsilhouettes?\b(?! (?:score|coefficient|above|over|of))|\bbackground removal|\bcontours?\b"
)
MARKET = _rule(
    r"\b(?:customer|market|user|audience|client|shopper)s? segment"
    r"|\bsegments? (?:of|our|my|the)? ?(?:customers|clients|users|shoppers|market)|\binto segments"
    r"|\bsegment (?:our |my |the )?(?:customers|clients|users|shoppers)"
)
KEYPOINTS = _rule(
    r"\bkey[- ]?points?\b|\blandmarks? (?:detection|localization|localisation|points)"
    r"|\b(?:facial|face|hand|body|anatomical) landmarks?|\bposes?\b|\bposture|\bskeletons?\b"
    r"|\bjoints? (?:of|positions?|locations?)|\bbody joints?|\bbody parts positions"
)
ANOMALY = _rule(
    r"\banomal(?:y|ies|ous)\b|\boutliers?\b|\bnovelty|\bunusual|\bweird|\bout of the ordinary"
    r"|\bstrange (?:behaviou?r|patterns?|readings?)|\bnever seen|\bodd\b|\bdeviat(?:e|es|ions?) from (?:the )?norm"
    r"|\birregularities\b"
)
FORECAST = _rule(
    r"\bforecast|\bpredict\w*[^.;]{0,60}\b(?:next (?:week|month|day|hour|year|quarter|\d+|two|three|few|seven|twelve)"
    r"|tomorrow|(?:days?|weeks?|hours?|months?) (?:ahead|in advance))|\bnext (?:week|month|year|quarter|day"
    r"|hour)'s\b|\btomorrow's\b|\bwill\b[^.;?]{0,40}\b(?:tomorrow|next (?:week|month|year|quarter|day|hour))\b"
)
AHEAD = _rule(
    r"\b(?:next|coming|following) (?:(?:\d+|few|two|three|four|seven|several) )?(?:hours?|days?|weeks?|months?"
    r"|quarters?|years?)\b"
)
CLUSTER = _rule(
    r"\bcluster(?:s|ing|ed)?\b|\bgroup(?:s|ing)? [^.;]{0,60}(?:without labels|no labels|unlabel|similar|into segments"
    r"|by similarity|by behaviou?r)|\bunsupervised groups?|\bfind (?:natural "
    r"|similar )?groups\b|\btopic model(?:l?ing)?\b"
)
RANK = _rule(
    r"\brank(?:s|ed|ing)?\b|(?<!you )\brecommend(?:s|er|ation|ations|ing)?\b(?! (?:me|us|a model|an? algorithm))"
    r"|\bprioriti[sz]e|\blearning to rank|\bsearch results?"
)
TRANSLATE = _rule(r"\btranslat(?:e|es|ing|ion|or)\b|\bmachine translation")
SUMMARY = _rule(
    r"\bsummari(?:s|z)(?:e|es|ing|ation|er)\b|\bsummar(?:y|ies)\b|\bcondens(?:e|es|ing)\b|\btl;?dr\b"
    r"|\bshorten(?:s|ing)?\b|\babridge"
)
QA = _rule(
    r"\bquestion[- ]answering|\banswer(?:s|ing)? (?:\S+ ){0,3}questions?"
    r"|\banswer(?:s|ing)? (?:\w+'s? ){0,2}quer(?:y|ies)|\bq ?& ?a\b|\bfaq bot|\breading comprehension"
)
ANSWER_JUDGED = _rule(
    r"\b(?:does|do|did|whether|if) (?:[^\s.,;:?!]+ ){1,6}?answers?\b|\b(?:kinds?|types?|sorts?) of (?:an )?answers?\b"
)
"""An answer is looked at, not given: "does the paragraph answer the question", "what kind of answer is wanted"."""
GENERATE = _rule(
    r"\bgenerat(?:e|es|ing|ive|or)\b|\bsynthesi[sz](?:e|es|ing)\b"
    r"|\bwrit(?:e|es|ing) (?:short |new |product |marketing |automatic )?(?:descriptions?|blurbs?|slogans?|replies"
    r"|emails?|texts?|captions?|stories|articles)|\brewrit(?:e|es|ing)\b|\bparaphras(?:e|es|ing)\b|\bcaption(?:s"
    r"|ing)\b|\bturns? \S+ \S+ into (?:\w+ )?(?:language|text|images?|prose)\b"
)
REGRESS = _rule(r"\bregress(?:ion|or|ors)?\b")
CLASSIFY = _rule(r"\bclassif(?:y|ies|ied|ying|ier|iers|ication)\b|\bcategori[sz](?:e|es|ing|ation)\b|\bcategoriser\b")
DETECT = _rule(
    r"\bdetect(?:s|ed|ing|ion|or|ors)?\b|\bbounding[- ]box|\bbox(?:es)? around|\bfind(?:s|ing)?\b"
    r"|\blocat(?:e|es|ing)\b|\blocali[sz](?:e|es|ing|ation)\b|\bspotting\b|\bcounting\b|\bcounter\b"
    r"|(?:^|[.,;:!?\n] ?|\b(?:to|and|or|please|pls|that|which|can|should|must|will|it|system|model|network|us"
    r"|me) )(?:spot|count)s?\b|\bwhere (?:are|is)\b|\btrack(?:s|ing)? (?:the |every |all )?[a-z]|\blook for\b"
    r"|\bcheck(?:ed|s)? for\b"
)
BOXES = _rule(
    r"\bbounding[- ]box|\bbox(?:es)?\b|\blocat(?:e|es|ing|ions?)\b|\blocali[sz]|\bobject detection|\bdetector\b"
    r"|\bcounting\b|(?:^|[.,;:!?\n] ?|\b(?:to|and|please|that|which|can|should|must|will|it|model) )counts?\b"
    r"|\bwhere (?:are|is)\b"
)
CHOOSE = _rule(
    r"\brecogni[sz](?:e|es|ing|ion|er)\b|\bidentif(?:y|ies|ying|ication)\b|\btell(?:s|ing)?\b(?! me| us| you)"
    r"|\bdistinguish|\bdifferentiat|\bdiscriminat|\bdiagnos(?:e|es|ing|is)\b|\bsort(?:s|ing)?\b|\bassign(?:s|ing)?\b"
    r"|\blabel(?:s|l?ing)?\b|\bflag(?:s|ging)?\b|\btag(?:s|ging)?\b|\bdecid(?:e|es|ing)\b|\bdetermin(?:e|es|ing)\b"
    r"|\bwhether\b|\b(?:know|say|says|see|knows|tells?|check|predict|predicts|guess) (?:\w+ ){0,4}(?:if|who|which)\b"
    r"|\bfilter(?:s|ing)?\b|\bsentiment\b|\bguess|\bgroups? \w+ into\b|\bsplit(?:s|ting)? \w+ (?:\w+ )?into\b"
    r"|\bpositive\b[^.]{0,30}\bnegative\b|\byes[ /,]+(?:or )?no\b|\bkeyword spotting|\brouting\b|\btriage|\bgrading\b"
    r"|\bcategory\b|\bmultiple choice"
)
NUMBER_ASKED = _rule(
    r"\bhow (?:much|many|long|far|old|big|heavy|tall|severe)\b"
    r"|\bwhat (?:will|does|would) [^.?]{1,40}\b(?:cost|sell for|weigh|be worth|fetch)\b"
    r"|\b(?:score|rate)s? (?:the|how)\b|\bbetween 0 and \d|\bfrom 0 to \d+"
)
PREDICT = _rule(
    r"\bpredict(?:s|ed|ing|ion|ions|or)?\b|\bestimat(?:e|es|ing|ion|or)\b|\bguess(?:es|ing)?\b"
    r"|\bcalculat(?:e|es|ing)\b|\bcomput(?:e|es|ing) the\b|\bdeduce|\binfer(?:s|ring)?\b|\brat(?:e|es|ing) the\b"
    r"|\bscor(?:e|es|ing) the\b|\bmeasure(?:s)? how\b"
)
QUANTITIES = word_set(
    "price cost amount number count quantity temperature age salary wage revenue sale demand consumption usage score "
    "rating yield weight height time duration length strength value speed rate distance power output load volume area "
    "size delay lifetime life mileage bmi pressure humidity concentration progression popularity percentage "
    "probability calorie emission attendance visitor occupancy width depth density similarity difficulty energy "
    "income rent spending turnover profit turnout growth hardness viscosity solubility position angle noise budget "
    "expense bill fare toll travel reading degree use stay minute day hour level water rainfall fuel"
)
CATEGORIES = word_set(
    "species type kind category class churn default dropout survival fraud failure disease diagnosis gender sex "
    "outcome winner stage label genre brand make model color colour attrition approval sentiment cultivar variety "
    "breed stroke cancer readmission conversion click crop language intent topic emotion mood nationality occupation "
    "severity status result bankruptcy breakdown cancellation turnover-risk"
)
ABSTRACT = word_set(
    "fraud spam churn sarcasm intrusion sentiment emotion phishing plagiarism default bia toxicity hate fake scam "
    "irony malware attack sepsi depression disease"
)
"""What is "detected" in rows and texts, not drawn boxes around."""
THRESHOLD = _rule(
    r"\b(?:income|salary|price|sales|revenue|score|value|demand)s? (?:is |are |will be )?(?:above|over|below|under"
    r"|exceeds?|more than|less than|greater than|higher than) [$€£]?\d"
)
EXPLICIT = {
    "classification": _rule(r"\bclassif(?:y|ies|ying)\b"),
    "regression": _rule(r"\bregress(?:ion|or)\b(?= (?:model|network|task|problem)?)"),
    "segmentation": _rule(
        r"(?:^|[.;,!?:]|\b(?:to|and|please|that|which|should|must|can|we|i)) ?segments? (?!our |my |the (?:customers"
        r"|market)|customers|users|clients)\w"
    ),
    "forecasting": _rule(r"(?:^|[.;,!?:]|\b(?:to|and|please|that|which|should|must|can|we|i)) ?forecasts? \w"),
    "translation": _rule(r"\btranslates?\b \w"),
    "clustering": _rule(r"(?:^|[.;,!?:]|\b(?:to|and|please|that|which|should|must|can|we|i)) ?clusters? \w"),
    "summarization": _rule(r"\bsummari[sz]es?\b \w"),
    "generation": _rule(
        r"(?:^|[.;,!?:]|\b(?:to|and|please|that|which|should|must|can|we|i)) ?generates? (?!a model|me a|us a)\w"
    ),
    "detection": _rule(r"\bdetects?\b \w"),
}
TOGETHER = (frozenset({"classification", "detection", "segmentation"}), frozenset({"regression", "forecasting"}))

"""Small closed sets of English words for the phrase reader: articles, stops, counts, and what no thing is called.

>>> "the" in DETERMINERS, "from" in STOPS, "seven" in NUMBERS
(True, True, True)
"""

from __future__ import annotations

from .lexicon import word_set
from .quantities import NUMBER_WORDS

AND_OR = word_set("and or & / vs versus nor")
DETERMINERS = word_set(
    "a an the this these that those my our your his her its their every each all any some both either another such "
    "one's whose no"
)
NUMBERS = frozenset(NUMBER_WORDS) - {"zero"}
CLASS_NOUNS = word_set(
    "class classes category categories label labels group groups state states type types kind kinds grade grades "
    "level levels stage stages bucket buckets topic topics option options outcome outcomes value values"
)
DATA_NOUNS = word_set(
    "column columns feature features record records attribute attributes field fields variable variables input inputs "
    "sensor sensors measurement measurements table tables sheet spreadsheet data history using given requirements "
    "from parameters such constraints requirement metric metrics deadline"
)
QUANTIFIERS = word_set(
    "several various many multiple different diverse following possible common usual typical incoming most least few "
    "whole main respective single certain own best right correct exact"
)
CARRIERS = word_set(
    "keypoints boxes masks images image photos photo pictures picture photographs pics scans videos recordings "
    "footage frames shots snapshots"
)
KINDS = word_set("types type kinds kind sorts sort categories varieties classes presence")
PARTICIPLES = word_set(
    "next based given wearing taken recorded made entering standing showing containing coming captured sitting lying "
    "running according depending ahead"
)
FINITE = word_set(
    "is are was were be been has have had will would can could may might shall should must do does did gets get got "
    "needs need wants want becomes become says say means contains shows belongs runs fails happens takes comes goes"
)
STOPS = (
    word_set(
        "in on from with at for to into using via as under over above below between within without across during per "
        "than about around near inside outside behind after before by through onto against along upon until since "
        "towards toward beyond that which who whom whose where when while because so but if whether how what why "
        "apart well only together across among amongst please pls thanks what's who's how's plus then also not just "
        "too even once more less like such e.g i.e etc w where's w/ it they he she we i you there here these those "
        "is's according regardless including e.g. respectively i'd i'll i'm we'd we'll whereas whilst"
    )
    | FINITE
)
VERBS_BEHIND_AND = word_set(
    "export exports run runs deploy deploys keep keeps make makes use uses train trains should must will can need "
    "needs be it we i you they please want would don't do does show tell report return output give gives also not "
    "then preferably ideally around at less more no maximum under below above over up about roughly f1 with have has "
    "that which measure alert beep warn send notify count counts track say says tells classify detect segment find "
    "locate put draw an answer"
)
ADJECTIVES = word_set(
    "fast quick quickly cheap simple lightweight robust explainable interpretable offline online accurate real-time "
    "realtime reliable precise efficient speed size latency engine device hardware params parameters budget deadline "
    "accuracy maximum minimum max min model network classifier detector backbone architecture batch inference "
    "deployment deployed prefer preferred preferably okay tabular required unsupervised supervised unlabelled "
    "unlabeled lol thx haha"
)
PRONOUNS = word_set(
    "it them this that these those they one ones something things thing everything anything someone somebody people's "
    "objects object images image photos pictures data texts text rows row records videos samples sample inputs input "
    "items item which who what values value stuff me us you i we true false output result results class classes label "
    "labels category categories kind type case cases not another model"
)
COMMON_DEVICES = word_set("phone phones watch watches tablet tablets mobile mobiles edge edges embedded gateway")
"""Devices that are things as well: "phone booths", "edge cracks"."""
ASPECTS = word_set(
    "size sizes kind kinds type types colour colours color colors shape shapes age ages brand brands make"
)
NUMBERED = word_set("stage type class level grade group phase category tier line step degree part")
"""Nouns that a number may follow: "stage two"."""
CONTRACTED = word_set("we i you they it he she that there what who how where let")
WORN = word_set(
    "written made shown seen drawn worn grown sold sent given known driven taken bought held kept left built caught "
    "hidden thrown found"
)
IRREGULAR = word_set("people men women children mice teeth feet geese police")
LY_NOUNS = (
    *("butterfly", "fly", "lily", "assembly", "anomaly", "family", "jelly", "supply", "reply", "dragonfly"),
    *("firefly", "ally", "belly", "bully", "monopoly"),
)
"""Nouns that look like adverbs."""

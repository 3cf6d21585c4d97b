"""Words of the other questions that are asked of texts at hand; see `flame.text.derived`."""

from __future__ import annotations

NO_YES = (("no",), ("yes",))
"""Words for the two answers of most questions."""
SUBJECT = (
    "Is the text about {one}?",
    "Find the messages that concern {one}.",
    "{one}: yes or no",
    "Tell texts about {one} from all others.",
)
"""Questions on one label against all others."""
LISTED = ("Sort the texts into {all}.", "Is it about {all}?", "{all}", "Decide between {all}.")
"""Questions that list the labels they are about."""
SOURCES = {
    "mr": "a sentence from a film review",
    "clinc150": "a request to a voice assistant",
    "newsgroups20": "a message to a newsgroup",
    "sms_spam": "a text message from a phone",
    "tweet_offensive": "a tweet",
    "hate_stormfront": "a post in an extremist forum",
    "fdumtl_baby": "a review of baby products",
    "fdumtl_music": "a review of a music album",
    "fdumtl_apparel": "a review of clothes",
    "fdumtl_camera_photo": "a review of a camera",
    "fdumtl_sports_outdoors": "a review of sports gear",
    "fdumtl_electronics": "a review of electronics",
    "fdumtl_imdb": "a review of a film",
}
"""Tasks of one text each, and what kind of text theirs is."""
WHERE_FROM = (
    "What kind of text is it?",
    "Where does the text come from?",
    "Tell apart texts from different places, whatever they say.",
)
OPINIONS = (
    (("Is the review positive?", "Does the writer like it?", "Find satisfied customers."), 1),
    (("Is the review negative?", "Does the writer complain?", "Find customers who are unhappy."), 0),
)
"""Questions on reviews, and the sentiment whose answer is yes."""
FORMS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("Is something asked in the text?", "Find texts with a question mark."), ("?",)),
    (("Does the writer exclaim?", "Find texts with an exclamation mark."), ("!",)),
    (("Does the writer speak of himself or herself?", "Is it told in the first person?"), ("i", "my", "me")),
    (("Does the text address the reader?", "Find texts that speak to somebody as you."), ("you", "your")),
    (("Does the text deny something?", "Find texts with a negation."), ("not", "no", "never", "don")),
    (("Is it about the past?", "Find texts that tell what was."), ("was", "were", "had", "did")),
    (("Does the text quote somebody or something?", "Find texts with quotation marks."), ('"',)),
)
"""Questions on how a text is written, and the words of which one makes the answer yes."""

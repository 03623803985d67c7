"""Optimizers by name."""

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from ..config import TrainingConfig
from .muon import Muon


def build_optimizer(config: TrainingConfig, model: nn.Module) -> Optimizer:
    """Build the configured optimizer over all parameters of ``model``.

    adamw and muon decay matrices only, not biases or the weights of norms. adam and sgd apply the
    decay as an L2 penalty on every parameter, as the recipes that use them did. muon moves the
    matrices of the core and of the projection that follows it in a language model; embeddings and
    output layers are left to AdamW, as its authors advise.
    """
    named = dict(model.named_parameters())
    if config.optimizer == "sgd":
        return SGD(
            named.values(),
            lr=config.learning_rate,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
    # One pass over the weights: a third of the time of the plain loop on the CPU.
    fused = next(iter(named.values())).device.type in ("cpu", "cuda")
    if config.optimizer == "adam":
        return Adam(
            named.values(),
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=fused,
        )
    weights = _matrices(model)
    hidden = [name for name in weights if {"core", "projection"} & set(name.split("."))]
    chosen = hidden if config.optimizer == "muon" else []
    rest = [name for name in weights if name not in chosen]
    matrices = [named[name] for name in rest]
    others = [value for name, value in named.items() if name not in weights]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if chosen:
        return Muon(
            [named[name] for name in chosen],
            groups,
            lr=config.learning_rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            rms=config.muon_rms,
            low=config.precision == "bf16-mixed",
            fused=fused,
        )
    return AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)


def _matrices(model: nn.Module) -> list[str]:
    # By name: the relational memory also stacks biases and norms of its blocks into matrices.
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.LayerNorm)]
    gains = {f"{name}.weight" for name in norms}
    return [
        name
        for name, _ in model.named_parameters()
        if "weight" in name.rpartition(".")[2] and "norm" not in name and name not in gains
    ]

"""The training diagnostics: names what goes wrong while it goes wrong, and what to do about it.

Works on what any family may show after a round; a rule whose number is absent is silent. No rule knows a family.
"""

from __future__ import annotations

from collections.abc import Sequence

from karat.events import Notice


def watch(history: Sequence[dict[str, float]]) -> list[Notice]:
    """Notices on a history of records with "fraction" and, where the family shows them, the numbers below.

    separated: share of points the critic puts on the right side.   slope/<player>: gradient norm of its last turn.
    active: share of latents that carry information.   spread: deviation of what is made over that of the data.
    skipped: turns whose loss was not finite.
    """
    if not history:
        return []
    now, recent = history[-1], history[-max(5, len(history) // 10) :]
    at = now["fraction"]
    out: list[Notice] = []
    if now.get("skipped", 0) > 0:
        out.append(
            Notice(
                "non-finite loss",
                at,
                f"{now['skipped']:.0f} turns gave NaN or infinity and were skipped",
                "halve the rate (--set model.lr=...), or train in fp32 (--set train.precision=fp32)",
            )
        )
    return out if at < 0.1 else [*out, *_gradients(recent, at), *_collapses(recent, at)]


def _gradients(recent: Sequence[dict[str, float]], at: float) -> list[Notice]:
    """What keeps a player from learning of the others."""
    out: list[Notice] = []
    separated = _mean(recent, "separated")
    if separated is not None and separated > 0.985:
        out.append(
            Notice(
                "saturated discriminator",
                at,
                f"it separates real from made {separated:.1%} of the time",
                "penalise its slope (--set model.penalty=r1 --set model.gamma=1), add augmentation "
                "(--set model.augment=0.5) or lower model.critic_lr",
            )
        )
    for key in sorted({k for r in recent for k in r if k.startswith("slope/")}):
        slope = _mean(recent, key)
        if slope is not None and slope < 1e-6:
            out.append(
                Notice(
                    "vanishing gradients",
                    at,
                    f"the gradient of the {key[6:]} has norm {slope:.1e}",
                    "use the non-saturating or relativistic loss, a smaller critic, or a higher rate",
                )
            )
    return out


def _collapses(recent: Sequence[dict[str, float]], at: float) -> list[Notice]:
    """What makes all that is made alike."""
    out: list[Notice] = []
    active = _mean(recent, "active")
    if active is not None and active < 0.1:
        out.append(
            Notice(
                "posterior collapse",
                at,
                f"only {active:.0%} of the latents carry information",
                "lower --set model.beta=..., or give each latent some nats for nothing (--set model.free_bits=0.1)",
            )
        )
    spread = _mean(recent, "spread")
    if spread is not None and spread < 0.4:
        out.append(
            Notice(
                "mode collapse",
                at,
                f"what is made varies {spread:.2f} times as much as the data",
                "penalise the critic (--set model.penalty=r1), condition on cells (--set model.cells=50), "
                "or use --recipe gan or vae",
            )
        )
    return out


def _mean(recent: Sequence[dict[str, float]], key: str) -> float | None:
    values = [r[key] for r in recent if key in r]
    return sum(values) / len(values) if len(values) >= 3 else None

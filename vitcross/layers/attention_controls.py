"""Defines `AttentionControls`, the one way to intervene in a model's attention, and the addresses of its layers.

It is a call argument, never state: layers read their own part and pass the rest on with `scope`. Without it results are
the same to the last bit. Trust measures (kept patches), relevance (weight offsets) and head importance (head gates)
are all built on it.

An address is a path such as `image_encoder/block_03/self_attention`; zero-padded, so that sorted order is depth order.

Shapes: B batch, P patches, N heads, T query tokens, S key tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionControls:
    """Says what to change in the attention of one call, and which weights to return.

    Args:
        kept_patches: bool (B, P) or None. False = the patch is dropped as a token: its key is masked in every layer
            and it is left out of pooling. Prefix tokens are always kept.
        head_gates: address -> (N,) or (B, N) numbers that multiply each head's output, before the heads are mixed.
            The returned weights are not gated.
        weight_offsets: address -> array broadcastable to (B, N, T, S) added to the attention weights after the
            softmax. Zeros make the gradient with respect to the weights exist on every backend.
        addresses: which layers' weights to return; None = all of them.
        query_rows: which query rows of the weights to return, as indices in T; None = all. Rows of self- and
            cross-attention of blocks; a pooling layer has one query, which is always returned.
    """

    kept_patches: Any = None
    head_gates: Mapping[str, Any] = field(default_factory=dict)
    weight_offsets: Mapping[str, Any] = field(default_factory=dict)
    addresses: tuple[str, ...] | None = None
    query_rows: tuple[int, ...] | None = None

    def scope(self, name: str) -> "AttentionControls":
        """The controls as seen from below `name`: addresses outside are left out, `name/` is taken off the others.

        An address equal to `name` itself becomes the empty address, by which a single attention layer is known to
        itself.
        """
        return replace(
            self,
            head_gates=_below(self.head_gates, name),
            weight_offsets=_below(self.weight_offsets, name),
            addresses=None if self.addresses is None else tuple(_below(dict.fromkeys(self.addresses), name)),
        )

    def within(self, name: str) -> "AttentionControls":
        """The controls for one encoder of a model: only the addresses below `name`, unchanged."""
        start = f"{name}/"

        def kept(entries):
            return {address: value for address, value in entries.items() if address.startswith(start)}

        addresses = None if self.addresses is None else tuple(kept(dict.fromkeys(self.addresses)))
        return replace(
            self, head_gates=kept(self.head_gates), weight_offsets=kept(self.weight_offsets), addresses=addresses
        )

    def returns(self, address: str = "") -> bool:
        """Whether the weights at `address` are to be returned."""
        return self.addresses is None or address in self.addresses

    def check_addresses(self, known: tuple[str, ...]) -> None:
        """Raises ValueError if any address named here is not in `known`: a typo must not be ignored silently."""
        for argument in ("head_gates", "weight_offsets", "addresses"):
            unknown = sorted(set(getattr(self, argument) or ()) - set(known))
            if unknown:
                raise ValueError(
                    f"expected addresses of this model's attention: {', '.join(known)}. Received: {argument} {unknown}"
                )


def scoped(controls: AttentionControls | None, name: str) -> AttentionControls | None:
    """`controls.scope(name)`, or None where there are none."""
    return None if controls is None else controls.scope(name)


def _below(entries: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The entries at or below `name`, by their address from there."""
    inside = {}
    for address, value in entries.items():
        if address == name:
            inside[""] = value
        elif address.startswith(f"{name}/"):
            inside[address[len(name) + 1 :]] = value
    return inside

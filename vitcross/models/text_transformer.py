"""Implements the transformer over a text: causal or bidirectional, with or without cross-attention to a context.

Pre-norm as in GPT-2 and in the text encoder of CLIP (arXiv 2103.00020, section 2.4); with a context, the decoder of
"Attention Is All You Need" (arXiv 1706.03762, section 3.1).

Shapes: B batch, T tokens, S context tokens, M positions of a text, N heads, D embed_dim, Dc embed_dim of the context,
Dh = D / N.
"""

import dataclasses

import keras
from keras import ops

from vitcross.layers.attention_controls import AttentionControls, scoped
from vitcross.layers.encoder import TransformerEncoder
from vitcross.layers.pooling import AttentionPooling, last_real_token, mean_of_tokens
from vitcross.layers.token_embedding import TokenEmbedding
from vitcross.models.configured import ConfiguredModel, check_heads
from vitcross.models.explainable import WORDS, Tower, unchanged
from vitcross.options.models import TextTransformerOptions


@keras.saving.register_keras_serializable(package="vitcross")
class TextTransformer(ConfiguredModel):
    """Maps token ids to features of the text, or to its tokens. It is built when constructed.

    Padding keys get weight exactly 0 in every layer and padding has no part in the pooling: the features of a text do
    not depend on how far it is padded.

    Args: the options of `vitcross.options.models.TextTransformerOptions`, and
        name: root of the addresses. Default "text_decoder" if causal with cross-attention, else "text_encoder".

    Call arguments:
        token_ids: (B, T) int in [0, V), T at most `max_length`.
        padding_mask: bool (B, T), True = real token; None = all real.
        context: (B, S, Dc) with `cross_attention`, else None.
        context_mask: bool (B, S), True = may be attended; None = all.
        training: bool.
        return_attention_scores: bool.
        attention_controls: AttentionControls by the addresses of `attention_addresses`; no `kept_patches`.

    Returns:
        features (B, D), or with pooling None the tokens (B, T, D) after the final norm, in the compute dtype; with
        `return_attention_scores` a tuple of them and a dict in depth order from address to weights float32:
        `text_encoder/block_00/self_attention` (B, N, T, T), `.../cross_attention` (B, N, T, S), and with pooling "map"
        `text_encoder/pooling/cross_attention` (B, N, 1, T).

    Raises:
        ValueError: an unknown option, heads that do not divide embed_dim, a context where there is no cross-attention
            or none where there is, more tokens than `max_length`, or controls that do not fit.
    """

    OPTIONS = TextTransformerOptions

    def __init__(self, *, name: str | None = None, **options):
        writes = options.get("causal") and options.get("cross_attention")
        super().__init__(name=name or ("text_decoder" if writes else "text_encoder"), **options)
        check_heads(self)
        self.build((None, self.max_length))

    def _resolved(self, options):
        if not options.cross_attention or options.context_dim is not None:
            return options
        return dataclasses.replace(options, context_dim=options.embed_dim)

    @property
    def attention_addresses(self) -> tuple[str, ...]:
        """The address of every attention layer, in depth order."""
        blocks = tuple(f"{self.name}/{address}" for address in self.encoder.attention_addresses)
        return (*blocks, f"{self.name}/pooling/cross_attention") if self.pooling == "map" else blocks

    @property
    def tower(self) -> Tower:
        """The description of this tower for `Explainable`; only the model knows which tower it reads."""
        return Tower(
            name=self.name,
            tokens=WORDS,
            attention_addresses=self.attention_addresses,
            num_heads=self.num_heads,
            embed_dim=self.embed_dim,
            pooling=self.pooling,
        )

    def build(self, token_ids_shape=None):
        self.embedding = self.part(TokenEmbedding, "embedding")
        self.embedding.build(token_ids_shape)
        tokens_shape = (None, None, self.embed_dim)
        self.encoder = self.part(TransformerEncoder, "encoder")
        self.encoder.build(tokens_shape, (None, None, self.context_dim) if self.cross_attention else None)
        self.norm = self.layer_norm("norm", tokens_shape)
        if self.pooling == "map":
            self.attention_pooling = self.part(AttentionPooling, "pooling", attention_dropout_rate=0.0)
            self.attention_pooling.build(tokens_shape)

    def call(
        self,
        token_ids,
        padding_mask=None,
        context=None,
        context_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls: AttentionControls | None = None,
    ):
        options = {
            "training": training,
            "return_attention_scores": return_attention_scores,
            "attention_controls": attention_controls,
        }
        if not return_attention_scores:
            return self.pool(
                self.encode(token_ids, padding_mask, context, context_mask, **options), padding_mask, **options
            )
        tokens, weights = self.encode(token_ids, padding_mask, context, context_mask, **options)
        features, pooling_weights = self.pool(tokens, padding_mask, **options)
        return features, {**weights, **pooling_weights}

    def encode(
        self,
        token_ids,
        padding_mask=None,
        context=None,
        context_mask=None,
        training=None,
        return_attention_scores=False,
        attention_controls: AttentionControls | None = None,
    ):
        """Arguments of `call` -> tokens (B, T, D) after the final norm [, weights of the blocks by address]."""
        self._check_controls(attention_controls)
        result = self.encoder(
            self.embedding(token_ids, training=training),
            context=context,
            attention_mask=causal_mask(ops.shape(token_ids)[1]) if self.causal else None,
            padding_mask=padding_mask,
            context_mask=context_mask,
            training=training,
            return_attention_scores=return_attention_scores,
            attention_controls=scoped(attention_controls, self.name),
        )
        if not return_attention_scores:
            return self.norm(result)
        return self.norm(result[0]), {f"{self.name}/{address}": weights for address, weights in result[1].items()}

    def read(self, inputs, context=None, context_mask=None, attention_controls=None, averaged=unchanged):
        """`token_ids` and `padding_mask` of `inputs` -> what `call` gives in inference, and all weights by address.
        `averaged` as of `Explainable.read`."""
        options = {"training": False, "return_attention_scores": True, "attention_controls": attention_controls}
        mask = inputs["padding_mask"]
        tokens, weights = self.encode(inputs["token_ids"], mask, context, context_mask, **options)
        tokens = averaged(self.name, tokens) if self.pooling == "gap" else tokens
        features, pooling_weights = self.pool(tokens, mask, **options)
        return features, {**weights, **pooling_weights}

    def pool(self, tokens, padding_mask=None, training=None, return_attention_scores=False, attention_controls=None):
        """tokens (B, T, D) of `encode` -> what `call` gives [, weights of the pooling by address]."""
        self._check_controls(attention_controls)
        features, weights = tokens, {}
        if self.pooling == "map":
            features, weights = self.attention_pooling(
                tokens,
                padding_mask=padding_mask,
                training=training,
                return_attention_scores=True,
                attention_controls=scoped(scoped(attention_controls, self.name), "pooling"),
            )
            weights = {f"{self.name}/pooling/{address}": value for address, value in weights.items()}
        elif self.pooling == "gap":
            features = mean_of_tokens(tokens, padding_mask)
        elif self.pooling == "eos":
            features = last_real_token(tokens, padding_mask)
        return (features, weights) if return_attention_scores else features

    def empty_keys_values(self, batch_size: int, max_length: int):
        """The empty cache of `decode`: per block, keys and values (B, N, M, Dh) of M = `max_length` positions."""
        shape = (batch_size, self.num_heads, max_length, self.embed_dim // self.num_heads)
        return [(ops.zeros(shape, self.compute_dtype), ops.zeros(shape, self.compute_dtype)) for _ in range(self.depth)]

    def decode(self, token_ids, position, keys_values, context_keys_values):
        """Of a causal text the tokens at `position` alone, as `encode` has them in inference, from what came before.

        Args:
            token_ids: (B,) int.
            position: int scalar.
            keys_values: of the former position, or `empty_keys_values`.
            context_keys_values: `encoder.project_context` of the context.

        Returns:
            (B, D) after the final norm, and the new `keys_values`.
        """
        tokens_B1D = self.embedding(token_ids[:, None], position=position)
        tokens_B1D, keys_values = self.encoder.decode(tokens_B1D, keys_values, context_keys_values, position)
        return self.norm(tokens_B1D)[:, 0], keys_values

    def _check_controls(self, attention_controls: AttentionControls | None):
        if attention_controls is None:
            return
        attention_controls.check_addresses(self.attention_addresses)
        if attention_controls.kept_patches is not None:
            raise ValueError(
                f"expected no kept_patches: {self.name} has no patches; mask its context instead. "
                f"Received: kept_patches of shape {tuple(attention_controls.kept_patches.shape)}"
            )


def causal_mask(length):
    """bool (1, T, T): a token may attend to itself and to those before it."""
    places_T = ops.arange(length, dtype="int32")
    return ops.greater_equal(places_T[:, None], places_T[None, :])[None]

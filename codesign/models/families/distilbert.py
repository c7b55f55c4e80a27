"""DistilBERT."""

from codesign.models.family import PLAIN_ENCODER, Family

FAMILY = Family(
    model_type="distilbert",
    hidden="dim",
    layers="n_layers",
    ffn="hidden_dim",
    heads="n_heads",
    layer="transformer.layer.{}",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attention_output="attention.out_lin",
    ffn_in="ffn.lin1",
    ffn_out="ffn.lin2",
    attention_norm="sa_layer_norm",
    ffn_norm="output_layer_norm",
    activation="activation",
    norm_epsilon=None,
    token_types=None,
    # Learnt or computed: either way the positions are a table in the file, before the encoder.
    accepted={**PLAIN_ENCODER, "sinusoidal_pos_embds": (False, True)},
)

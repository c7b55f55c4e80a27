"""BERT."""

from codesign.models.family import Family

FAMILY = Family(
    model_type="bert",
    hidden="hidden_size",
    layers="num_hidden_layers",
    ffn="intermediate_size",
    heads="num_attention_heads",
    layer="encoder.layer.{}",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attention_output="attention.output.dense",
    ffn_in="intermediate.dense",
    ffn_out="output.dense",
    attention_norm="attention.output.LayerNorm",
    ffn_norm="output.LayerNorm",
    activation="hidden_act",
)

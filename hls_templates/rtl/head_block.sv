// A block of K or V as words of the array's weights, from a word of its memory: of K, R of the L keys × C features; of V,
// R features × C of the L keys. What is beyond the head's features or the group's keys is zero.
module head_block
  import engine_pkg::*;
(
    input  logic                        values,  // of V
    input  place_t                      place,
    input  logic [WORD_INDEX_BITS-1:0]  index,
    input  logic [C-1:0][L-1:0][7:0]    key_word,
    input  logic [R-1:0][L-1:0][7:0]    value_word,
    output logic [PORT_BITS-1:0]        word
);
  logic [HEAD_WORDS*PORT_BITS-1:0] whole;
  logic unused;
  assign unused = &{1'b0, place.column, place.group};
  for (genvar r = 0; r < R; r++) begin : g_row
    for (genvar c = 0; c < C; c++) begin : g_column
      logic [KEY_ROWS-1:0][7:0] keys;
      logic [KEY_COLUMNS-1:0][7:0] features;
      for (genvar j = 0; j < KEY_ROWS; j++) begin : g_key
        if (j * R + r < L) begin : g_there
          assign keys[j] = key_word[c][j*R+r];
        end else begin : g_beyond
          assign keys[j] = '0;
        end
      end
      for (genvar j = 0; j < KEY_COLUMNS; j++) begin : g_feature
        if (j * C + c < L) begin : g_there
          assign features[j] = value_word[r][j*C+c];
        end else begin : g_beyond
          assign features[j] = '0;
        end
      end
      assign whole[(r*C+c)*8 +: 8] = values ? features[place.lane]
          : place.last && c >= LAST_HEAD_FEATURES ? 8'd0 : keys[place.lane];
    end
  end
  if (HEAD_WORDS * PORT_BITS > R * C * 8) begin : g_rest
    assign whole[HEAD_WORDS*PORT_BITS-1:R*C*8] = '0;
  end
  logic [HEAD_WORDS-1:0][PORT_BITS-1:0] words;
  assign words = whole;
  assign word  = words[index];
endmodule

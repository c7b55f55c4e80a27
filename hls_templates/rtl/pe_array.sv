// The weight-stationary array: R rows × C columns × L lanes. A group of L tokens of one column block enters per cycle.
module pe_array
  import engine_pkg::*;
(
    input  logic                       clk,
    // One word of the next block's weights; and the swap, one cycle before the first activations that it is for.
    input  logic                       load,
    input  logic                       load_head,
    input  logic [WORD_INDEX_BITS-1:0] load_index,
    input  logic [PORT_BITS-1:0]       load_word,
    input  logic                       swap,
    input  logic [C-1:0][L-1:0][7:0]   activation,
    // Sums over the block's columns.
    output logic [R-1:0][L-1:0][31:0]  sum
);
  logic [R-1:0][C-1:0][HELD_BITS-1:0] weights;
  weight_registers u_weights (.clk, .load, .load_head, .load_index, .load_word, .swap, .weights);

  // ---- Activations, side by side as the packing asks, each column as late as its place in the cascade.
  logic [C-1:0][DSP_LANES-1:0][31:0] operand;
  for (genvar c = 0; c < C; c++) begin : g_column
    logic [L-1:0][7:0] late;
    delay #(.WIDTH(8 * L), .CYCLES(c % CHAIN)) u_delay (.clk, .d(activation[c]), .q(late));
    for (genvar d = 0; d < DSP_LANES; d++) begin : g_dsp
      if (LANES_PER_DSP == 2 && 2 * d + 1 < L) begin : g_pair
        assign operand[c][d] = (32'($signed(late[2*d+1])) << FIELD_SHIFT) + 32'($signed(late[2*d]));
      end else begin : g_single
        assign operand[c][d] = 32'($signed(late[d*LANES_PER_DSP]));
      end
    end
  end

  // ---- Rows.
  for (genvar r = 0; r < R; r += ROWS_PER_DSP) begin : g_row
    logic [C-1:0][31:0] weight;
    logic [ROWS_PER_DSP-1:0][L-1:0][31:0] row_sum;
    for (genvar c = 0; c < C; c++) begin : g_weight
      if (ROWS_PER_DSP == 2 && r + 1 < R) begin : g_pair
        assign weight[c] = (32'($signed(weights[r+1][c])) << WEIGHT_SHIFT) + 32'($signed(weights[r][c]));
      end else begin : g_single
        assign weight[c] = 32'($signed(weights[r][c]));
      end
    end
    logic unused;  // the second row of a pair, where there is none
    assign unused = &{1'b0, row_sum};
    pe_row u_row (.clk, .weight, .activation(operand), .sum(row_sum));
    for (genvar i = 0; i < ROWS_PER_DSP; i++) begin : g_sum
      if (r + i < R) begin : g_used
        assign sum[r+i] = row_sum[i];
      end
    end
  end
endmodule

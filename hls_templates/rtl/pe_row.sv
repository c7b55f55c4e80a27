// The multipliers of one row of the array (of two rows, where a DSP takes two weights): cascades of CHAIN columns for
// every group of lanes that share a DSP, their fields split, and an adder tree over the cascades.
//
// Latency: 3 (operands, product, sum) + CHAIN − 1 (cascade) + 1 (fields) + ⌈log₂ SEGMENTS⌉ (tree) cycles.
module pe_row
  import engine_pkg::*;
(
    input  logic                                             clk,
    // Operands of the DSPs, each column as late as its place in the cascade asks; 32 bits are for simulation's speed.
    input  logic [C-1:0][31:0]                               weight,
    input  logic [C-1:0][DSP_LANES-1:0][31:0]                activation,
    output logic [ROWS_PER_DSP-1:0][L-1:0][31:0]             sum
);
  // One row of code for all rows: it makes simulation smaller and faster.
  /* verilator no_inline_module */

  for (genvar d = 0; d < DSP_LANES; d++) begin : g_lanes
    logic [ROWS_PER_DSP-1:0][LANES_PER_DSP-1:0][SEGMENTS-1:0][31:0] partial;
    for (genvar s = 0; s < SEGMENTS; s++) begin : g_segment
      localparam int First = s * CHAIN;
      localparam int Cols = (C - First < CHAIN) ? C - First : CHAIN;
      logic signed [47:0] cascade[Cols+1];
      assign cascade[0] = '0;
      for (genvar k = 0; k < Cols; k++) begin : g_dsp
        // The packed operand that needs the wide port gets it: two weights of four bits, otherwise the activations.
        dsp_cell #(.A_BITS(WIDE_BITS), .B_BITS(18)) u_dsp (
            .clk,
            .enable(1'b1),
            .a(PACKING == 4 ? weight[First+k] : activation[First+k][d]),
            .b(PACKING == 4 ? activation[First+k][d] : weight[First+k]),
            .added(cascade[k]),
            .sum(cascade[k+1])
        );
      end
      // A shorter last cascade waits for the others.
      logic [47:0] result;
      logic unused;  // bits above those of a sum repeat its sign
      assign unused = &{1'b0, result};
      delay #(.WIDTH(48), .CYCLES(CHAIN - Cols)) u_wait (.clk, .d(cascade[Cols]), .q(result));

      if (PACKING == 1) begin : g_one
        always_ff @(posedge clk) partial[0][0][s] <= 32'($signed(result[SUM_BITS-1:0]));
      end else if (PACKING == 2) begin : g_two
        // A negative lower field has borrowed one from the upper.
        always_ff @(posedge clk) begin
          partial[0][0][s] <= 32'($signed(result[FIELD_SHIFT-1:0]));
          partial[0][1][s] <= 32'($signed(SUM_BITS'(result[FIELD_SHIFT +: SUM_BITS] + SUM_BITS'(result[FIELD_SHIFT-1]))));
        end
      end else begin : g_four
        // The lowest bits of the factors, as old as their product.
        // (The upper factor of a packed operand has lent one to a negative lower one.)
        logic [1:0] upper_activation, upper_weight;
        assign upper_activation = activation[First][d][FIELD_SHIFT+:2] + 2'(activation[First][d][FIELD_SHIFT-1]);
        assign upper_weight     = weight[First][WEIGHT_SHIFT+:2] + 2'(weight[First][WEIGHT_SHIFT-1]);
        logic [5:0] factors;
        logic signed [3:0][10:0] fields;
        delay #(.WIDTH(6), .CYCLES(3)) u_factors (
            .clk,
            .d({upper_activation, upper_weight, weight[First][1:0]}),
            .q(factors)
        );
        split_four u_split (
            .clk, .product(result), .w0(factors[1:0]), .w1(factors[3:2]), .a1(factors[5:4]), .fields
        );
        assign partial[0][0][s] = 32'($signed(fields[0]));
        assign partial[0][1][s] = 32'($signed(fields[1]));
        assign partial[1][0][s] = 32'($signed(fields[2]));
        assign partial[1][1][s] = 32'($signed(fields[3]));
      end
    end
    for (genvar i = 0; i < ROWS_PER_DSP; i++) begin : g_out_row
      for (genvar j = 0; j < LANES_PER_DSP; j++) begin : g_out_lane
        if (d * LANES_PER_DSP + j < L) begin : g_used
          adder_tree #(.INPUTS(SEGMENTS)) u_tree (.clk, .d(partial[i][j]), .q(sum[i][d*LANES_PER_DSP+j]));
        end
      end
    end
  end
endmodule

// One feature's residual sums: (residual·g + value·h + 32) >> 6 of L tokens, in four cycles. The products are made in two
// DSPs for each token, or where LUT_SUMS, in LUTs: digits of two bits choose among multiples of the gains.
module weighted_sums
  import engine_pkg::*;
(
    input  logic               clk,
    input  logic [15:0]        residual_gain,  // g, unsigned
    input  logic [15:0]        value_gain,     // h
    input  logic [L-1:0][7:0]  residual,
    input  logic [L-1:0][7:0]  value,
    output logic [L-1:0][17:0] sum
);
  if (LUT_SUMS == 0) begin : g_dsps
    for (genvar l = 0; l < L; l++) begin : g_lane
      logic signed [47:0] first, both;
      logic unused;  // above the sum and behind the point
      assign unused = &{1'b0, both};
      // The half that rounds is added by the first.
      dsp_cell #(.A_BITS(17), .B_BITS(8), .PORT_C(1'b1)) u_residual (
          .clk, .a({16'd0, residual_gain}), .b(32'($signed(residual[l]))), .added(48'sd32), .sum(first)
      );
      dsp_cell #(.A_BITS(17), .B_BITS(8), .OPERAND_STAGES(2)) u_value (
          .clk, .a({16'd0, value_gain}), .b(32'($signed(value[l]))), .added(first), .sum(both)
      );
      assign sum[l] = both[23:6];
    end
  end else begin : g_luts
    // First cycle: what all lanes share of each gain.
    logic [1:0][15:0] gain, once;
    logic [1:0][17:0] thrice, negated;
    logic [1:0][L-1:0][7:0] given, factor;
    assign gain  = {value_gain, residual_gain};
    assign given = {value, residual};
    always_ff @(posedge clk) begin
      for (int f = 0; f < 2; f++) begin
        once[f]    <= gain[f];
        thrice[f]  <= {2'd0, gain[f]} + {1'b0, gain[f], 1'b0};
        negated[f] <= -{2'd0, gain[f]};
      end
      factor <= given;
    end
    for (genvar l = 0; l < L; l++) begin : g_lane
      logic [1:0][19:0] low;          // of the factors' lower four bits
      logic [1:0][19:0] high;         // of the upper four, in units of 16, and half of the 32 that rounds
      logic [20:0] low_both;
      logic signed [20:0] high_both;
      logic signed [24:0] both;
      logic unused;
      assign unused = &{1'b0, both[24], both[5:0]};
      for (genvar f = 0; f < 2; f++) begin : g_factor
        logic [2:0][17:0] digit;
        logic signed [17:0] top;
        logic signed [20:0] upper;
        always_comb begin
          for (int k = 0; k < 3; k++) begin
            case (factor[f][l][2*k+:2])
              2'd0: digit[k] = '0;
              2'd1: digit[k] = {2'd0, once[f]};
              2'd2: digit[k] = {1'b0, once[f], 1'b0};
              default: digit[k] = thrice[f];
            endcase
          end
          case (factor[f][l][7:6])
            2'd0: top = '0;
            2'd1: top = {2'd0, once[f]};
            2'd2: top = {negated[f][16:0], 1'b0};
            default: top = negated[f];
          endcase
        end
        // The ones behind them carry: one more.
        assign upper = {2'd0, digit[2], 1'b1} + {top, 3'b001};
        logic unused_carry;
        assign unused_carry = &{1'b0, upper[0]};
        always_ff @(posedge clk) begin
          low[f]  <= {2'd0, digit[0]} + {digit[1], 2'd0};
          high[f] <= upper[20:1];
        end
      end
      always_ff @(posedge clk) begin
        low_both  <= {1'b0, low[0]} + {1'b0, low[1]};
        high_both <= 21'($signed(high[0])) + 21'($signed(high[1]));
        both      <= {high_both, 4'd0} + {4'd0, low_both};
      end
      assign sum[l] = both[23:6];
    end
  end
endmodule

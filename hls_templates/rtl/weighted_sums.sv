// One feature's residual sums: (residual·g + value·h + 32) >> 6 of L tokens, in four cycles. The products are made in two
// DSPs for each token, or where LUT_SUMS, in LUTs: digits of two bits choose among multiples of the gains.
module weighted_sums
  import engine_pkg::*;
(
    input  logic               clk,
    input  logic               enable,
    input  logic [15:0]        residual_gain,  // g, unsigned
    input  logic [15:0]        value_gain,     // h
    input  logic [L-1:0][7:0]  residual,
    input  logic [L-1:0][7:0]  value,
    output logic [L-1:0][17:0] sum
);
  // What a gain gives times a digit of two bits: 0 to 3, and of a factor's highest, which is signed, −2 to 1.
  function automatic logic [17:0] multiple(input logic [1:0] digit, input logic [15:0] once, input logic [17:0] thrice);
    case (digit)
      2'd0: multiple = '0;
      2'd1: multiple = {2'd0, once};
      2'd2: multiple = {1'b0, once, 1'b0};
      default: multiple = thrice;
    endcase
  endfunction
  function automatic logic [17:0] signed_multiple(input logic [1:0] digit, input logic [15:0] once,
                                                  input logic [17:0] negated);
    case (digit)
      2'd0: signed_multiple = '0;
      2'd1: signed_multiple = {2'd0, once};
      2'd2: signed_multiple = {negated[16:0], 1'b0};
      default: signed_multiple = negated;
    endcase
  endfunction
  // Of both upper digits in units of 16, and half of the 32 that rounds: the ones behind them carry, one more.
  function automatic logic [19:0] upper(input logic [17:0] below, input logic [17:0] above);
    upper = 20'(({2'd0, below, 1'b1} + {above, 3'b001}) >> 1);
  endfunction

  if (LUT_SUMS == 0) begin : g_dsps
    for (genvar l = 0; l < L; l++) begin : g_lane
      logic signed [47:0] first, both;
      logic unused;  // above the sum and behind the point
      assign unused = &{1'b0, both};
      // The half that rounds is added by the first.
      dsp_cell #(.A_BITS(17), .B_BITS(8), .PORT_C(1'b1)) u_residual (
          .clk, .enable, .a({16'd0, residual_gain}), .b(32'($signed(residual[l]))), .added(48'sd32), .sum(first)
      );
      dsp_cell #(.A_BITS(17), .B_BITS(8), .OPERAND_STAGES(2)) u_value (
          .clk, .enable, .a({16'd0, value_gain}), .b(32'($signed(value[l]))), .added(first), .sum(both)
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
      if (enable) begin
        for (int f = 0; f < 2; f++) begin
          once[f]    <= gain[f];
          thrice[f]  <= {2'd0, gain[f]} + {1'b0, gain[f], 1'b0};
          negated[f] <= -{2'd0, gain[f]};
        end
        factor <= given;
      end
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
        always_ff @(posedge clk) begin
          if (enable) begin
            low[f]  <= {2'd0, multiple(factor[f][l][1:0], once[f], thrice[f])}
                + {multiple(factor[f][l][3:2], once[f], thrice[f]), 2'd0};
            high[f] <= upper(multiple(factor[f][l][5:4], once[f], thrice[f]),
                             signed_multiple(factor[f][l][7:6], once[f], negated[f]));
          end
        end
      end
      always_ff @(posedge clk) begin
        if (enable) begin
          low_both  <= {1'b0, low[0]} + {1'b0, low[1]};
          high_both <= 21'($signed(high[0])) + 21'($signed(high[1]));
          both      <= {high_both, 4'd0} + {4'd0, low_both};
        end
      end
      assign sum[l] = both[23:6];
    end
  end
endmodule

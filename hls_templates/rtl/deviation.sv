// Mean and reciprocal deviation of a token's sums, as the integer model's LayerNorm has them, in DEVIATION_STAGES cycles;
// a new token may come in every cycle. The root's and the quotient's stages are most of them.
module deviation
  import engine_pkg::*;
#(
    parameter int TAG_BITS = 1
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                valid,
    input  logic signed [32:0]  total,    // Σt
    input  logic        [47:0]  squares,  // Σt²
    input  logic        [40:0]  epsilon,  // one for all tokens of a step
    input  logic [TAG_BITS-1:0] tag,
    output logic                done,
    output logic signed [17:0]  mean,
    output logic        [23:0]  result,
    output logic [TAG_BITS-1:0] done_tag
);
  localparam int Front = 14;  // stages before the root

  // ---- Mean: four cycles of a product, one to round it.
  logic signed [50:0] scaled;
  logic signed [17:0] middle;
  logic signed [32:0] total_4, total_5;
  wide_product #(.B_BITS(17)) u_mean (
      .clk, .enable(1'b1), .factor(total), .multiplier(18'(MEAN_MULTIPLIER)), .product(scaled)
  );
  delay #(.WIDTH(33), .CYCLES(4)) u_total (.clk, .d(total), .q(total_4));

  // ---- Variance: Σt² − μ·(2Σt − N·μ) + ε.
  logic signed [32:0] twice;
  logic signed [17:0] mean_6;
  logic signed [50:0] spread;
  logic [47:0] squares_10;
  logic signed [50:0] difference;
  logic [47:0] variance;
  wide_product #(.B_BITS(18)) u_spread (.clk, .enable(1'b1), .factor(twice), .multiplier(mean_6), .product(spread));
  delay #(.WIDTH(48), .CYCLES(10)) u_squares (.clk, .d(squares), .q(squares_10));

  always_ff @(posedge clk) begin
    middle     <= 18'((scaled + (51'sd1 <<< (MEAN_SHIFT - 1))) >>> MEAN_SHIFT);
    total_5    <= total_4;
    mean_6     <= middle;
    twice      <= (total_5 <<< 1) - 33'($signed(scaled_by(32'($signed(middle)), FEATURES)));
    difference <= 51'($signed({3'b0, squares_10})) - spread + 51'($signed({10'b0, epsilon}));
    variance   <= difference < 51'sd1 ? 48'd1 : difference[47:0];
  end

  // ---- To 31 or 32 bits by an even number of places: half of them is `half`.
  logic [4:0] half, half_found;
  logic [47:0] variance_late;
  logic [31:0] radicand;
  always_comb begin
    half_found = 5'd0;
    for (int i = 0; i < 24; i++) if (variance[2*i +: 2] != 2'd0) half_found = 5'(i + 1);
  end
  always_ff @(posedge clk) begin
    half          <= half_found;
    variance_late <= variance;
    radicand      <= half > 5'd16 ? 32'(variance_late >> (6'd2 * (6'(half) - 6'd16)))
                                  : 32'(variance_late << (6'd2 * (6'd16 - 6'(half))));
  end

  // ---- Root and reciprocal.
  typedef struct packed {
    logic [TAG_BITS-1:0] tag;
    logic [17:0]         mean;
    logic [4:0]          half;
  } passed_t;
  logic front_valid, root_valid;
  logic [TAG_BITS-1:0] front_tag;
  logic [17:0] front_mean;
  logic [4:0] front_half;
  logic [15:0] root;
  passed_t root_passed, quotient_passed;
  delay_valid #(.CYCLES(Front)) u_valid (.clk, .reset, .d(valid), .q(front_valid));
  delay #(.WIDTH(TAG_BITS), .CYCLES(Front)) u_tag (.clk, .d(tag), .q(front_tag));
  delay #(.WIDTH(18), .CYCLES(Front - 5)) u_front_mean (.clk, .d(middle), .q(front_mean));
  delay #(.WIDTH(5), .CYCLES(1)) u_half (.clk, .d(half), .q(front_half));
  square_root #(.TAG_BITS($bits(passed_t))) u_root (
      .clk, .reset, .valid(front_valid), .radicand, .tag({front_tag, front_mean, front_half}),
      .done(root_valid), .root, .done_tag(root_passed)
  );
  logic quotient_valid;
  logic [15:0] found;
  quotient #(.TAG_BITS($bits(passed_t))) u_quotient (
      .clk, .reset, .valid(root_valid), .numerator('1), .divisor(root), .tag(root_passed),
      .done(quotient_valid), .result(found), .done_tag(quotient_passed)
  );

  // ---- In units of 2^−(15 + DEVIATION_PLACES), no more than 24 bits.
  logic [32:0] placed;
  assign placed = quotient_passed.half > 5'(DEVIATION_PLACES)
      ? 33'(found) >> (quotient_passed.half - 5'(DEVIATION_PLACES))
      : 33'(found) << (5'(DEVIATION_PLACES) - quotient_passed.half);
  always_ff @(posedge clk) begin
    done     <= quotient_valid && !reset;
    done_tag <= quotient_passed.tag;
    mean     <= quotient_passed.mean;
    result   <= placed > 33'h0ff_ffff ? 24'hff_ffff : placed[23:0];
  end
endmodule

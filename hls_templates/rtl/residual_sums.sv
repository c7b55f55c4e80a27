// What the vector unit reads: a head's scores with the highest of each token, and residual sums with each token's sums of
// them and of their squares, taken as the results come.
module residual_sums
  import engine_pkg::*;
(
    input  logic                                 clk,
    input  logic [LANE_COUNT_BITS-1:0]           last_lanes,  // tokens of the last group

    // Results of D features (or keys), with what a residual sum adds and weighs them with.
    input  logic                                 valid,
    input  drain_t                               what,
    input  row_place_t                           place,
    input  logic [D-1:0][L-1:0][15:0]            value,
    input  logic [D-1:0][L-1:0][7:0]             residual,
    input  logic [D-1:0][31:0]                   gains,       // of the residual, of the value

    output logic [SUM_BANKS-1:0]                 write,
    output logic [BASE_BITS-1:0]                 write_address,
    output logic [D*L*18-1:0]                    write_data,

    // One cycle later.
    input  logic                                 highest_buffer,
    input  logic [GROUP_BITS-1:0]                highest_group,
    output logic [L-1:0][15:0]                   highest,
    input  logic [GROUP_BITS-1:0]                statistics_group,
    input  logic [LANE_BITS-1:0]                 statistics_lane,
    output logic signed [32:0]                   total,
    output logic [47:0]                          squares
);
  localparam int Summed = 4;               // cycles of a residual sum
  localparam int Squared = Summed + 2 + D; // and until the squares of a word are added up

  // ---- Clock enables: a matrix's results may be neither scores nor summed.
  logic summing, scoring;
  in_flight #(.STAGES(Squared)) u_summing (.clk, .valid(valid && what.target == TO_SUMS), .enable(summing));
  in_flight #(.STAGES(Summed)) u_scoring (.clk, .valid(valid && what.target == TO_SCORES), .enable(scoring));

  // ---- Sums.
  logic valid_4;
  drain_t what_4;
  row_place_t place_4;
  logic is_sum, is_score;
  logic [D-1:0][L-1:0][15:0] value_4;
  logic [D-1:0][L-1:0][17:0] element;
  delay #(.WIDTH(1), .CYCLES(Summed)) u_valid (.clk, .d(valid), .q(valid_4));
  delay #(.WIDTH($bits(drain_t)), .CYCLES(Summed)) u_what (.clk, .d(what), .q(what_4));
  delay #(.WIDTH($bits(row_place_t)), .CYCLES(Summed)) u_place (.clk, .d(place), .q(place_4));
  delay_enabled #(.WIDTH(16 * D * L), .CYCLES(Summed)) u_value (.clk, .enable(scoring), .d(value), .q(value_4));
  assign is_sum   = valid_4 && what_4.target == TO_SUMS && place_4.valid;
  assign is_score = valid_4 && what_4.target == TO_SCORES && what_4.valid;

  logic [D-1:0][L-1:0][17:0] sum;
  for (genvar d = 0; d < D; d++) begin : g_feature
    logic [L-1:0][7:0] narrow;
    weighted_sums u_sums (
        .clk, .enable(summing), .residual_gain(gains[d][15:0]), .value_gain(gains[d][31:16]), .residual(residual[d]), .value(narrow),
        .sum(sum[d])
    );
    for (genvar l = 0; l < L; l++) begin : g_lane
      assign narrow[l]     = value[d][l][7:0];
      assign element[d][l] = what_4.target == TO_SUMS ? sum[d][l] : 18'($signed(value_4[d][l]));
    end
  end

  always_ff @(posedge clk) begin
    for (int b = 0; b < SUM_BANKS; b++) begin
      write[b] <= (is_sum && place_4.bank == PLACE_SUB_BITS'(b)) || (is_score && what_4.sub == PLACE_SUB_BITS'(b));
    end
    write_address <= what_4.target_base + BASE_BITS'(what_4.group)
        + BASE_BITS'(scaled_by(32'(is_sum ? place_4.word : what_4.column), GROUPS));
    if (is_sum || is_score) write_data <= element;
  end

  // ---- The highest score of each token.
  logic [D-1:0] key_present;
  for (genvar d = 0; d < D; d++) begin : g_present
    assign key_present[d] = 32'(what_4.key_lane) + d < 32'(what_4.key_group_last ? last_lanes : LANE_COUNT_BITS'(L));
  end
  logic [HIGHEST_BITS-1:0] highest_place;
  assign highest_place = HIGHEST_BITS'({what_4.head_buffer, what_4.group});
  for (genvar l = 0; l < L; l++) begin : g_highest
    (* ram_style = "distributed" *) logic signed [15:0] memory[2**HIGHEST_BITS];
    logic signed [15:0] present;
    always_comb begin
      present = what_4.first && what_4.part == '0 ? -16'sd32768 : memory[highest_place];
      for (int d = 0; d < D; d++) if (key_present[d] && $signed(value_4[d][l]) > present) present = value_4[d][l];
    end
    always_ff @(posedge clk) begin
      if (is_score) memory[highest_place] <= present;
      highest[l] <= memory[HIGHEST_BITS'({highest_buffer, highest_group})];
    end
  end

  // ---- Each token's sums: of D features first, then on top of what there is.
  logic is_sum_end, first_end;
  logic [GROUP_BITS-1:0] group_end;
  logic signed [L-1:0][32:0] totals;
  logic [L-1:0][47:0] squareses;
  delay #(.WIDTH(2 + GROUP_BITS), .CYCLES(Squared - Summed)) u_end (
      .clk, .d({is_sum, what_4.first && what_4.part == '0, what_4.group}), .q({is_sum_end, first_end, group_end})
  );
  for (genvar l = 0; l < L; l++) begin : g_statistics
    logic signed [47:0] cascade[D+1];
    logic signed [32:0] plain, plain_end;
    assign cascade[0] = '0;
    for (genvar d = 0; d < D; d++) begin : g_square
      logic [17:0] late;
      delay_enabled #(.WIDTH(18), .CYCLES(d)) u_late (.clk, .enable(summing), .d(sum[d][l]), .q(late));
      dsp_cell #(.A_BITS(18), .B_BITS(18)) u_square (
          .clk, .enable(summing), .a(32'($signed(late))), .b(32'($signed(late))), .added(cascade[d]), .sum(cascade[d+1])
      );
    end
    always_comb begin
      plain = '0;
      for (int d = 0; d < D; d++) plain += 33'($signed(sum[d][l]));
    end
    delay_enabled #(.WIDTH(33), .CYCLES(Squared - Summed)) u_plain (.clk, .enable(summing), .d(plain), .q(plain_end));
    (* ram_style = "distributed" *) logic [80:0] memory[2**GROUP_BITS];
    logic [80:0] earlier;
    assign earlier = first_end ? '0 : memory[group_end];
    always_ff @(posedge clk) begin
      if (is_sum_end) memory[group_end] <= {earlier[80:48] + plain_end, earlier[47:0] + 48'(cascade[D])};
    end
    assign {totals[l], squareses[l]} = memory[statistics_group];
  end
  always_ff @(posedge clk) begin
    total   <= totals[statistics_lane];
    squares <= squareses[statistics_lane];
  end
  logic unused;
  assign unused = &{1'b0, what_4, place_4};
endmodule

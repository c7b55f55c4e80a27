// Everything that is not a product: brings embeddings in, makes exponentials and their quotients of a head's scores, and
// LayerNorm of residual sums, V features (or keys) × L tokens per cycle.
//
// Steps are done one after another. Token groups of a step follow each other every max(words, L) cycles, as one quotient
// or one deviation is worked out per cycle and a group has L of them.
module vector_unit
  import engine_pkg::*;
(
    input  logic                                 clk,
    input  logic                                 reset,
    input  logic                                 start,
    input  logic [REPEAT_BITS-1:0]               repeats,
    input  logic [GROUP_COUNT_BITS-1:0]          groups,
    input  logic [LANE_COUNT_BITS-1:0]           last_lanes,   // tokens of the last group
    // Steps of the array that have ended, and of this unit.
    input  logic [COUNT_BITS-1:0]                array_done,
    output logic [COUNT_BITS-1:0]                vector_done,

    // Embeddings: words of C features × L tokens, block column by block column.
    input  logic                                 s_valid,
    output logic                                 s_ready,
    input  logic [STREAM_BITS-1:0]               s_data,
    input  logic                                 s_last,
    output logic                                 framing_error,

    // Scores and sums: the word of an address comes two cycles later.
    output logic [BASE_BITS-1:0]                 sums_address,
    input  logic [V-1:0][L-1:0][17:0]            sums,
    // The highest score of each token of a group, and a token's sums: one cycle later.
    output logic                                 highest_buffer,
    output logic [GROUP_BITS-1:0]                highest_group,
    input  logic [L-1:0][15:0]                   highest,
    output logic [GROUP_BITS-1:0]                statistics_group,
    output logic [LANE_BITS-1:0]                 statistics_lane,
    input  logic signed [32:0]                   total,
    input  logic [47:0]                          squares,

    // What the array reads next.
    output logic [STATE_VECTORS-1:0]             state_write,
    output logic [BASE_BITS-1:0]                 state_address,
    output logic [STATE_VECTORS-1:0][V*L*8-1:0]  state_data,
    output logic                                 quotient_write,
    output logic                                 quotient_buffer,
    output logic [GROUP_BITS-1:0]                quotient_group,
    output logic [LANE_BITS-1:0]                 quotient_lane,
    output logic [21:0]                          quotient_data,  // shift, multiplier

    // The last layer's results.
    input  logic                                 result_room,
    output logic                                 result_reserve,
    output logic [SENTENCE_WORDS_BITS-1:0]       result_words,
    output logic                                 result_write,
    output logic                                 result_last,
    output logic                                 result_end,
    output logic [V*L*8-1:0]                     result
);
  // ---- Steps.
  logic step_valid, step_done, begin_step, ready, busy;
  vector_step_t step;
  vector_walker u_walker (.clk, .reset, .start, .repeats, .step_valid, .step_done, .step);

  always_ff @(posedge clk) begin
    ready <= step_valid && !busy && !begin_step && array_done >= step.need_array
        && (!step.to_stream || result_room);
    if (begin_step) busy <= 1'b1;
    if (step_done) busy <= 1'b0;
    if (step_done) vector_done <= vector_done + 1'b1;
    if (start) vector_done <= '0;
    if (reset) begin
      ready <= 1'b0;
      busy  <= 1'b0;
    end
  end
  assign begin_step     = ready && !busy;
  assign result_reserve = begin_step && step.to_stream;

  // ---- Loading.
  logic load_begins, loading, beat, complete, word_valid, load_last, load_written;
  logic [COLUMN_COUNT_BITS-1:0] load_column;
  logic [GROUP_COUNT_BITS-1:0] load_group;
  logic [BASE_BITS-1:0] load_address;
  logic [ACTIVATION_BEATS*STREAM_BITS-1:0] word;
  words #(.WIDTH(STREAM_BITS), .BEATS(ACTIVATION_BEATS)) u_words (
      .clk, .reset, .valid(beat), .data(s_data), .complete, .word_valid, .word
  );
  assign load_begins = begin_step && step.kind == LOAD;
  assign s_ready   = loading;
  assign beat      = s_valid && s_ready;
  assign load_last = complete && load_group == groups - 1'b1
      && load_column == COLUMN_COUNT_BITS'(STATE_COLUMNS - 1);
  always_ff @(posedge clk) begin
    if (load_begins) loading <= 1'b1;
    if (load_last) loading <= 1'b0;
    load_address <= step.state_base + BASE_BITS'(scaled_by(32'(load_column), GROUPS)) + BASE_BITS'(load_group);
    if (complete) begin
      load_group <= load_group == groups - 1'b1 ? '0 : load_group + 1'b1;
      if (load_group == groups - 1'b1) load_column <= load_last ? '0 : load_column + 1'b1;
    end
    load_written  <= load_last;
    framing_error <= beat && s_last != load_last;
    if (reset) begin
      loading       <= 1'b0;
      load_group    <= '0;
      load_column   <= '0;
      load_written  <= 1'b0;
      framing_error <= 1'b0;
    end
  end

  // ---- The pass over a step's words: token groups outermost.
  logic [PERIOD_BITS-1:0] softmax_words, softmax_period, period, words_of_group;
  logic pass_start, passing, pass, pass_group_end, pass_end;
  logic [PERIOD_BITS-1:0] pass_beat;
  logic [GROUP_COUNT_BITS-1:0] pass_group;
  logic is_norm;
  assign is_norm = step.kind == NORM;
  always_ff @(posedge clk) begin
    softmax_words  <= PERIOD_BITS'(scaled_by(32'(groups), KEY_WORDS));
    softmax_period <= softmax_words < PERIOD_BITS'(L) ? PERIOD_BITS'(L) : softmax_words;
    result_words   <= SENTENCE_WORDS_BITS'(scaled_by(32'(groups), NORM_WORDS));
  end
  assign words_of_group = is_norm ? PERIOD_BITS'(NORM_WORDS) : softmax_words;
  assign period         = is_norm ? PERIOD_BITS'(NORM_PERIOD) : softmax_period;
  assign pass           = passing && pass_beat < words_of_group;
  assign pass_group_end = passing && pass_beat == words_of_group - 1'b1;
  assign pass_end       = passing && pass_beat == period - 1'b1 && pass_group == groups - 1'b1;

  // LayerNorm's pass waits for the deviations of its first token group.
  logic lead_end;
  delay_valid #(.CYCLES(NORM_LEAD)) u_lead (.clk, .reset, .d(begin_step && is_norm), .q(lead_end));
  assign pass_start = is_norm ? lead_end : begin_step && step.kind == SOFTMAX;

  always_ff @(posedge clk) begin
    if (pass_start) begin
      passing    <= 1'b1;
      pass_beat  <= '0;
      pass_group <= '0;
    end else if (passing) begin
      pass_beat <= pass_beat + 1'b1;
      if (pass_beat == period - 1'b1) begin
        pass_beat  <= '0;
        pass_group <= pass_group + 1'b1;
        if (pass_end) passing <= 1'b0;
      end
    end
    if (reset) passing <= 1'b0;
  end

  // Where a word's results go, and which of its keys there are.
  logic [KEY_WORD_BITS-1:0] key_word;
  logic [GROUP_COUNT_BITS-1:0] key_group;
  logic [PLACE_COLUMN_BITS-1:0] column, key_column;
  logic [PLACE_SUB_BITS-1:0] part;
  logic [LANE_COUNT_BITS-1:0] key_lanes;
  logic key_word_last;
  assign key_word_last = !is_norm && key_word == KEY_WORD_BITS'(KEY_WORDS - 1);
  assign key_lanes     = key_group == groups - 1'b1 ? last_lanes : LANE_COUNT_BITS'(L);
  assign sums_address  = step.sums_base + BASE_BITS'(scaled_by(32'(pass_beat), GROUPS)) + BASE_BITS'(pass_group);
  always_ff @(posedge clk) begin
    if (pass) begin
      key_word <= key_word + 1'b1;
      part     <= part + 1'b1;
      if (part == PLACE_SUB_BITS'(STATE_VECTORS - 1)) begin
        part   <= '0;
        column <= column + 1'b1;
      end
      if (key_word_last) begin
        key_word   <= '0;
        key_group  <= key_group + 1'b1;
        part       <= '0;
        column     <= key_column + PLACE_COLUMN_BITS'(KEY_COLUMNS);
        key_column <= key_column + PLACE_COLUMN_BITS'(KEY_COLUMNS);
      end
    end
    if (pass_group_end || pass_start) begin
      key_word   <= '0;
      key_group  <= '0;
      part       <= '0;
      column     <= '0;
      key_column <= '0;
    end
  end

  typedef struct packed {
    logic                         group_end;
    logic                         last;       // word of the step
    logic [GROUP_BITS-1:0]        group;
    logic [PLACE_COLUMN_BITS-1:0] column;
    logic [PLACE_SUB_BITS-1:0]    part;
    logic                         first;      // word of the group
  } word_t;
  logic valid_2, valid_end;
  word_t word_0, word_2, word_end, word_softmax;
  logic [V-1:0] present_0, present_2;
  logic valid_softmax;
  assign word_0 = '{
          group_end: pass_group_end,
          last: pass_group_end && pass_group == groups - 1'b1,
          group: GROUP_BITS'(pass_group),
          column: column,
          part: part,
          first: pass_beat == '0
      };
  for (genvar v = 0; v < V; v++) begin : g_present
    assign present_0[v] = scaled_by(32'(key_word), V) + v < 32'(key_lanes);
  end
  delay_valid #(.CYCLES(2)) u_valid_2 (.clk, .reset, .d(pass), .q(valid_2));
  delay #(.WIDTH($bits(word_t) + V), .CYCLES(2)) u_word_2 (.clk, .d({word_0, present_0}), .q({word_2, present_2}));

  // ---- Exponentials, and their sums.
  logic exponentiating;
  in_flight #(.STAGES(EXPONENTIAL_STAGES)) u_exponentiating (.clk, .valid(valid_2 && !is_norm), .enable(exponentiating));
  logic [L-1:0][15:0] highest_2;
  logic [V-1:0][L-1:0][7:0] exponentials;
  logic [L-1:0][15:0] sum, held;
  assign highest_buffer = step.head_buffer;
  assign highest_group  = GROUP_BITS'(pass_group);
  delay #(.WIDTH(16 * L), .CYCLES(1)) u_highest (.clk, .d(highest), .q(highest_2));
  for (genvar v = 0; v < V; v++) begin : g_exponentials
    for (genvar l = 0; l < L; l++) begin : g_lane
      exponential u_exponential (
          .clk, .enable(exponentiating), .present(present_2[v]), .highest(highest_2[l]), .score(sums[v][l][15:0]),
          .result(exponentials[v][l])
      );
    end
  end
  delay_valid #(.CYCLES(EXPONENTIAL_STAGES)) u_valid_softmax (
      .clk, .reset, .d(valid_2 && !is_norm), .q(valid_softmax)
  );
  delay #(.WIDTH($bits(word_t)), .CYCLES(EXPONENTIAL_STAGES)) u_word_softmax (.clk, .d(word_2), .q(word_softmax));

  logic holding, quotients_last, hold_last;
  logic [LANE_BITS-1:0] held_lane;
  logic [GROUP_BITS-1:0] held_group;
  logic sum_end, sum_last;
  logic [GROUP_BITS-1:0] sum_group;
  for (genvar l = 0; l < L; l++) begin : g_sum
    logic [15:0] more;
    always_comb begin
      more = '0;
      for (int v = 0; v < V; v++) more += 16'(exponentials[v][l]);
    end
    always_ff @(posedge clk) begin
      if (valid_softmax) sum[l] <= (word_softmax.first ? '0 : sum[l]) + more;
      if (sum_end) held[l] <= sum[l];
    end
  end
  logic [15:0] divisor, divisor_found;
  logic [4:0] bits, bits_found;
  logic divide;
  logic [LANE_BITS-1:0] divide_lane;
  logic [GROUP_BITS-1:0] divide_group;
  logic divide_last;
  always_comb begin
    bits_found = 5'd1;
    for (int i = 0; i < 16; i++) if (held[held_lane][i]) bits_found = 5'(i + 1);
    divisor_found = held[held_lane] << (5'd16 - bits_found);
  end
  always_ff @(posedge clk) begin
    sum_end   <= valid_softmax && word_softmax.group_end;
    sum_last  <= word_softmax.last;
    sum_group <= word_softmax.group;
    if (sum_end) begin
      holding    <= 1'b1;
      held_lane  <= '0;
      held_group <= sum_group;
      hold_last  <= sum_last;
    end else if (holding) begin
      held_lane <= held_lane + 1'b1;
      if (held_lane == LANE_BITS'(L - 1)) holding <= 1'b0;
    end
    divide       <= holding;
    divide_lane  <= held_lane;
    divide_group <= held_group;
    divide_last  <= holding && hold_last && held_lane == LANE_BITS'(L - 1);
    bits         <= bits_found;
    divisor      <= divisor_found;
    if (reset) begin
      sum_end <= 1'b0;
      holding <= 1'b0;
      divide  <= 1'b0;
    end
  end
  typedef struct packed {
    logic                  last;
    logic                  buffer;
    logic [GROUP_BITS-1:0] group;
    logic [LANE_BITS-1:0]  lane;
    logic [5:0]            shift;
  } quotient_t;
  quotient_t asked, answered;
  logic [15:0] found;
  assign asked = '{
          last: divide_last,
          buffer: step.head_buffer,
          group: divide_group,
          lane: divide_lane,
          shift: step.shift - 6'd16 + 6'(bits)
      };
  quotient #(.TAG_BITS($bits(quotient_t))) u_quotient (
      .clk, .reset, .valid(divide), .numerator(step.numerator), .divisor, .tag(asked),
      .done(quotient_write), .result(found), .done_tag(answered)
  );
  assign quotient_buffer = answered.buffer;
  assign quotient_group  = answered.group;
  assign quotient_lane   = answered.lane;
  assign quotient_data   = {answered.shift, found};
  assign quotients_last  = quotient_write && answered.last;

  // ---- Deviations: a token per cycle, a token group ahead of the pass.
  logic feeding, fed, deviation_done;
  logic [PERIOD_BITS-1:0] feed_beat;
  logic [GROUP_COUNT_BITS-1:0] feed_group;
  typedef struct packed {
    logic                 parity;
    logic [LANE_BITS-1:0] lane;
  } token_t;
  token_t feed_token, fed_token, done_token;
  logic signed [17:0] mean;
  logic [23:0] deviation_found;
  assign statistics_group = GROUP_BITS'(feed_group);
  assign statistics_lane  = LANE_BITS'(feed_beat);
  assign feed_token       = '{parity: feed_group[0], lane: LANE_BITS'(feed_beat)};
  always_ff @(posedge clk) begin
    if (begin_step && is_norm) begin
      feeding    <= 1'b1;
      feed_beat  <= '0;
      feed_group <= '0;
    end else if (feeding) begin
      feed_beat <= feed_beat + 1'b1;
      if (feed_beat == PERIOD_BITS'(NORM_PERIOD - 1)) begin
        feed_beat  <= '0;
        feed_group <= feed_group + 1'b1;
        if (feed_group == groups - 1'b1) feeding <= 1'b0;
      end
    end
    fed       <= feeding && feed_beat < PERIOD_BITS'(L) && !reset;
    fed_token <= feed_token;
    if (reset) feeding <= 1'b0;
  end
  deviation #(.TAG_BITS($bits(token_t))) u_deviation (
      .clk, .reset, .valid(fed), .total, .squares, .epsilon(step.epsilon), .tag(fed_token),
      .done(deviation_done), .mean, .result(deviation_found), .done_tag(done_token)
  );
  logic parity_2;
  assign parity_2 = word_2.group[0];
  // Of each token two, of one token group and of the next.
  logic [L-1:0][17:0] means;
  logic [L-1:0][23:0] deviations;
  for (genvar l = 0; l < L; l++) begin : g_token
    logic [1:0][17:0] two_means;
    logic [1:0][23:0] two_deviations;
    always_ff @(posedge clk) begin
      if (deviation_done && done_token.lane == LANE_BITS'(l)) begin
        two_means[done_token.parity]      <= mean;
        two_deviations[done_token.parity] <= deviation_found;
      end
    end
    assign means[l]      = two_means[parity_2];
    assign deviations[l] = two_deviations[parity_2];
  end

  // ---- LayerNorm.
  logic normalising;
  in_flight #(.STAGES(NORMALISER_STAGES)) u_normalising (.clk, .valid(valid_2 && is_norm), .enable(normalising));
  logic [V-1:0][48:0] constants, constants_4;
  logic [V-1:0][L-1:0][7:0] normals;
  rom #(
      .WIDTH(V * 49),
      .DEPTH(NORM_CONSTANTS),
      .TILE_WIDTH(NORM_TILE_WIDTH),
      .TILE_DEPTH(NORM_TILE_DEPTH),
      .TILED(ROM_TILED),
      .FILE("norms")
  ) u_constants (
      .clk, .address(($clog2(NORM_CONSTANTS))'(step.norm_base + NORM_ADDRESS_BITS'(pass_beat))), .data(constants)
  );
  delay_enabled #(.WIDTH(V * 49), .CYCLES(NORMAL_LEAD)) u_constants_late (
      .clk, .enable(normalising), .d(constants), .q(constants_4)
  );
  for (genvar v = 0; v < V; v++) begin : g_normals
    for (genvar l = 0; l < L; l++) begin : g_lane
      normaliser u_normaliser (
          .clk,
          .enable(normalising),
          .sum(sums[v][l]),
          .mean(means[l]),
          .deviation(deviations[l]),
          .gain(constants_4[v][16:0]),
          .offset(constants_4[v][48:17]),
          .result(normals[v][l])
      );
    end
  end
  word_t word_norm;
  logic valid_norm;
  delay_valid #(.CYCLES(NORMALISER_STAGES)) u_valid_norm (.clk, .reset, .d(valid_2 && is_norm), .q(valid_norm));
  delay #(.WIDTH($bits(word_t)), .CYCLES(NORMALISER_STAGES)) u_word_norm (.clk, .d(word_2), .q(word_norm));

  // ---- Writing.
  assign word_end      = valid_norm ? word_norm : word_softmax;
  assign valid_end     = valid_norm || valid_softmax;
  assign state_address = word_valid ? load_address
      : step.state_base + BASE_BITS'(scaled_by(32'(word_end.column), GROUPS)) + BASE_BITS'(word_end.group);
  logic [V-1:0][L-1:0][7:0] end_data;
  assign end_data = valid_norm ? normals : exponentials;
  for (genvar p = 0; p < STATE_VECTORS; p++) begin : g_part
    assign state_write[p] = word_valid || (valid_end && word_end.part == PLACE_SUB_BITS'(p));
    assign state_data[p]  = word_valid ? word[p*V*L*8 +: V*L*8] : end_data;
  end
  assign result_write = valid_norm && step.to_stream;
  assign result_last  = word_norm.last;
  assign result_end   = word_norm.last && step.run_last;
  assign result       = normals;

  logic norm_written;
  always_ff @(posedge clk) norm_written <= valid_norm && word_norm.last && !reset;
  assign step_done = load_written || quotients_last || norm_written;

  logic unused;
  assign unused = &{1'b0, word, sums, word_2, word_softmax, word_norm, word_end};
endmodule

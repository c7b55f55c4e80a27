// What stands around the array in an encoder: the memories of activations, which results go to and operands come from,
// the vector unit, and the counts of steps that have ended, by which steps wait for each other.
module encoder_memories
  import engine_pkg::*;
(
    input  logic                            clk,
    input  logic                            reset,
    input  logic                            start,
    input  logic [REPEAT_BITS-1:0]          repeats,
    input  logic [GROUP_COUNT_BITS-1:0]     groups,
    input  logic [LANE_COUNT_BITS-1:0]      last_lanes,

    input  logic                            s_valid,
    output logic                            s_ready,
    input  logic [STREAM_BITS-1:0]          s_data,
    input  logic                            s_last,
    output logic                            framing_error,

    // The array's next job: whether it may begin.
    input  logic                            next_valid,
    input  logic [COUNT_BITS-1:0]           need_vector,
    input  logic [COUNT_BITS-1:0]           need_array,
    input  logic                            activation_take,
    output logic                            activation_ready,

    // Operands: two cycles later.
    input  operand_t                        activation_operand,
    input  logic [COLUMN_BITS-1:0]          activation_column,
    input  logic [GROUP_BITS-1:0]           activation_group,
    output logic [C-1:0][L-1:0][7:0]        activation,

    // Weights, or a block of K or V instead: likewise, the index coming with the data.
    input  memory_t                         fetch_memory,
    input  place_t                          fetch_place,
    input  logic [BASE_BITS-1:0]            fetch_base,
    input  logic [WORD_INDEX_BITS-1:0]      load_index,
    input  logic [PORT_BITS-1:0]            weight_word,
    output logic [PORT_BITS-1:0]            fetch_word,

    input  logic                            result_valid,
    input  drain_t                          result_what,
    input  row_place_t                      result_place,
    input  logic [D-1:0][L-1:0][15:0]       result,
    input  logic                            residual_read,
    input  drain_t                          residual_what,
    input  row_place_t                      residual_place,
    input  logic                            quotient_buffer,
    input  logic [GROUP_BITS-1:0]           quotient_group,
    output logic [L-1:0][21:0]              quotients,

    output logic                            m_valid,
    input  logic                            m_ready,
    output logic [STREAM_BITS-1:0]          m_data,
    output logic                            m_last,
    output logic                            m_end
);
  function automatic logic [BASE_BITS-1:0] place(input logic [BASE_BITS-1:0] base, input logic [31:0] column,
                                                 input logic [GROUP_BITS-1:0] group);
    place = base + BASE_BITS'(scaled_by(column, GROUPS)) + BASE_BITS'(group);
  endfunction

  // ---- Steps that have ended.
  logic [COUNT_BITS-1:0] vector_done, array_done;
  logic ended;
  delay_valid #(.CYCLES(RESULT_STAGES)) u_ended (.clk, .reset, .d(result_valid && result_what.last), .q(ended));
  always_ff @(posedge clk) begin
    array_done       <= start ? '0 : array_done + COUNT_BITS'(ended);
    activation_ready <= next_valid && !activation_take && !reset
        && vector_done >= need_vector && array_done >= need_array;
  end

  // ---- State: written by the vector unit, read as operands and as residuals.
  logic [STATE_VECTORS-1:0] state_write;
  logic [BASE_BITS-1:0] state_write_address, state_address;
  logic [STATE_VECTORS-1:0][V*L*8-1:0] state_write_data;
  logic [C-1:0][L-1:0][7:0] state_word;
  assign state_address = residual_read ? place(residual_what.residual_base, 32'(residual_place.column), residual_what.group)
                                       : place(activation_operand.base, 32'(activation_column), activation_group);
  feature_memory #(
      .PARTS(STATE_VECTORS), .PART_FEATURES(V), .WORDS(STATE_WORDS), .TILE_WIDTH(STATE_TILE_WIDTH), .TILE_DEPTH(STATE_TILE_DEPTH)
  ) u_state (
      .clk,
      .write(state_write),
      .write_address(state_write_address),
      .write_data(state_write_data),
      .read_address(state_address),
      .read_data(state_word)
  );

  // ---- Results of the array.
  logic [BASE_BITS-1:0] result_address;
  logic [PLACE_SUB_BITS-1:0] result_sub;
  logic [D-1:0][L-1:0][7:0] result_bytes;
  logic [STATE_PARTS-1:0] work_write, key_write;
  logic [VALUE_PARTS-1:0] value_write;
  logic result_wanted;
  assign result_wanted = result_valid && (result_what.kind == MATMUL ? result_place.valid : result_what.valid);
  always_ff @(posedge clk) begin
    for (int p = 0; p < STATE_PARTS; p++) begin
      work_write[p] <= result_wanted && result_what.target == TO_WORK && result_sub == PLACE_SUB_BITS'(p);
      key_write[p]  <= result_wanted && result_what.target == TO_KEYS && result_sub == PLACE_SUB_BITS'(p);
    end
    for (int p = 0; p < VALUE_PARTS; p++)
      value_write[p] <= result_wanted && result_what.target == TO_VALUES && result_sub == PLACE_SUB_BITS'(p);
    result_address <= place(result_what.target_base,
                            32'(result_what.kind == MATMUL ? result_place.column : result_what.column),
                            result_what.group);
    if (result_valid) for (int d = 0; d < D; d++) for (int l = 0; l < L; l++) result_bytes[d][l] <= result[d][l][7:0];
  end
  assign result_sub = result_what.kind == MATMUL ? result_place.sub : result_what.sub;

  logic [C-1:0][L-1:0][7:0] work_word, key_word;
  logic [R-1:0][L-1:0][7:0] value_word;
  feature_memory #(
      .PARTS(STATE_PARTS), .PART_FEATURES(D), .WORDS(WORK_WORDS), .TILE_WIDTH(WORK_TILE_WIDTH), .TILE_DEPTH(WORK_TILE_DEPTH)
  ) u_work (
      .clk,
      .write(work_write),
      .write_address(result_address),
      .write_data({STATE_PARTS{result_bytes}}),
      .read_address(place(activation_operand.base, 32'(activation_column), activation_group)),
      .read_data(work_word)
  );
  feature_memory #(
      .PARTS(STATE_PARTS), .PART_FEATURES(D), .WORDS(KEY_MEMORY_WORDS), .TILE_WIDTH(KEY_TILE_WIDTH),
      .TILE_DEPTH(KEY_TILE_DEPTH)
  ) u_keys (
      .clk,
      .write(key_write),
      .write_address(result_address),
      .write_data({STATE_PARTS{result_bytes}}),
      .read_address(place(fetch_base, 32'(fetch_place.column), fetch_place.group)),
      .read_data(key_word)
  );
  feature_memory #(
      .PARTS(VALUE_PARTS), .PART_FEATURES(D), .WORDS(VALUE_MEMORY_WORDS), .TILE_WIDTH(VALUE_TILE_WIDTH),
      .TILE_DEPTH(VALUE_TILE_DEPTH)
  ) u_values (
      .clk,
      .write(value_write),
      .write_address(result_address),
      .write_data({VALUE_PARTS{result_bytes}}),
      .read_address(place(fetch_base, 32'(fetch_place.column), fetch_place.group)),
      .read_data(value_word)
  );

  // ---- Operands.
  logic from_work;
  delay #(.WIDTH(1), .CYCLES(2)) u_from_work (.clk, .d(activation_operand.work), .q(from_work));
  assign activation = from_work ? work_word : state_word;

  logic [2:0] memory_late;
  place_t place_late;
  memory_t memory_2;
  logic [PORT_BITS-1:0] head_word;
  delay #(.WIDTH(3 + $bits(place_t)), .CYCLES(2)) u_place (.clk, .d({fetch_memory, fetch_place}), .q({memory_late, place_late}));
  assign memory_2 = memory_t'(memory_late);
  head_block u_head_block (
      .values(memory_2 == MEMORY_VALUES), .place(place_late), .index(load_index), .key_word, .value_word, .word(head_word)
  );
  assign fetch_word = is_attention(memory_2) ? head_word : weight_word;

  // ---- Residuals, two cycles after their request, the D features that are wanted one later; gains beside them.
  logic [PLACE_SUB_BITS-1:0] residual_sub;
  logic [D-1:0][L-1:0][7:0] residual;
  logic [STATE_PARTS-1:0][D*L*8-1:0] residual_parts;
  logic [D*32-1:0] gain_word, gains;
  delay #(.WIDTH(PLACE_SUB_BITS), .CYCLES(2)) u_sub (.clk, .d(residual_place.sub), .q(residual_sub));
  assign residual_parts = state_word;
  always_ff @(posedge clk) residual <= residual_parts[residual_sub];
  rom #(
      .WIDTH(D * 32), .DEPTH(GAIN_WORDS), .TILE_WIDTH(GAIN_TILE_WIDTH), .TILE_DEPTH(GAIN_TILE_DEPTH), .TILED(ROM_TILED),
      .FILE("gains")
  ) u_gains (
      .clk, .address(($clog2(GAIN_WORDS))'(residual_what.gain)), .data(gain_word)
  );
  delay #(.WIDTH(D * 32), .CYCLES(RESIDUAL_AHEAD - 2)) u_gain (.clk, .d(gain_word), .q(gains));

  // ---- What the vector unit reads.
  logic [SUM_BANKS-1:0] sums_write;
  logic [BASE_BITS-1:0] sums_write_address, sums_address;
  logic [D*L*18-1:0] sums_write_data;
  logic [V-1:0][L-1:0][17:0] sums;
  logic highest_buffer;
  logic [GROUP_BITS-1:0] highest_group, statistics_group;
  logic [L-1:0][15:0] highest;
  logic [LANE_BITS-1:0] statistics_lane;
  logic signed [32:0] total;
  logic [47:0] squares;
  residual_sums u_residual_sums (
      .clk,
      .last_lanes,
      .valid(result_valid),
      .what(result_what),
      .place(result_place),
      .value(result),
      .residual,
      .gains,
      .write(sums_write),
      .write_address(sums_write_address),
      .write_data(sums_write_data),
      .highest_buffer,
      .highest_group,
      .highest,
      .statistics_group,
      .statistics_lane,
      .total,
      .squares
  );
  feature_memory #(
      .PARTS(SUM_BANKS), .PART_FEATURES(D), .BITS(18), .WORDS(SUM_WORDS), .TILE_WIDTH(SUM_TILE_WIDTH),
      .TILE_DEPTH(SUM_TILE_DEPTH)
  ) u_sums (
      .clk,
      .write(sums_write),
      .write_address(sums_write_address),
      .write_data({SUM_BANKS{sums_write_data}}),
      .read_address(sums_address),
      .read_data(sums)
  );

  // ---- The vector unit.
  logic quotient_write, quotient_write_buffer;
  logic [GROUP_BITS-1:0] quotient_write_group;
  logic [LANE_BITS-1:0] quotient_lane;
  logic [21:0] quotient_data;
  logic store_room, store_reserve, store_write, store_last, store_end;
  logic [SENTENCE_WORDS_BITS-1:0] store_words;
  logic [V*L*8-1:0] store_data;
  vector_unit u_vector (
      .clk,
      .reset,
      .start,
      .repeats,
      .groups,
      .last_lanes,
      .array_done,
      .vector_done,
      .s_valid,
      .s_ready,
      .s_data,
      .s_last,
      .framing_error,
      .sums_address,
      .sums,
      .highest_buffer,
      .highest_group,
      .highest,
      .statistics_group,
      .statistics_lane,
      .total,
      .squares,
      .state_write,
      .state_address(state_write_address),
      .state_data(state_write_data),
      .quotient_write,
      .quotient_buffer(quotient_write_buffer),
      .quotient_group(quotient_write_group),
      .quotient_lane,
      .quotient_data,
      .result_room(store_room),
      .result_reserve(store_reserve),
      .result_words(store_words),
      .result_write(store_write),
      .result_last(store_last),
      .result_end(store_end),
      .result(store_data)
  );
  result_store u_results (
      .clk,
      .reset,
      .words(RESULT_COUNT_BITS'(store_words)),
      .room(store_room),
      .reserve(store_reserve),
      .write(store_write),
      .write_last(store_last),
      .write_end(store_end),
      .write_data(store_data),
      .m_valid,
      .m_ready,
      .m_data,
      .m_last,
      .m_end
  );

  // ---- Quotients of a head: a token's by itself in, those of a token group together out, two cycles after the request.
  for (genvar l = 0; l < L; l++) begin : g_quotients
    (* ram_style = "distributed" *) logic [21:0] memory[2**HIGHEST_BITS];
    logic [21:0] found;
    always_ff @(posedge clk) begin
      if (quotient_write && quotient_lane == LANE_BITS'(l))
        memory[HIGHEST_BITS'({quotient_write_buffer, quotient_write_group})] <= quotient_data;
      found        <= memory[HIGHEST_BITS'({quotient_buffer, quotient_group})];
      quotients[l] <= found;
    end
  end

  logic unused;
  assign unused = &{1'b0, residual_what, result_what, residual_place, result_place};
endmodule

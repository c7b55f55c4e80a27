// The engine between its memories: schedule, array, accumulators, requantisers.
module engine_core
  import engine_pkg::*;
(
    input  logic                            clk,
    input  logic                            reset,

    input  logic                            job_valid,
    output logic                            job_ready,
    input  job_t                            job,
    input  logic [GROUP_COUNT_BITS-1:0]     groups,

    // Activations: the word of an address comes two cycles later.
    output logic                            activation_buffer,
    output operand_t                        activation_operand,
    output logic [COLUMN_BITS-1:0]          activation_column,
    output logic [GROUP_BITS-1:0]           activation_group,
    // The next job: steps of either unit that must have ended.
    output logic                            next_valid,
    output logic [COUNT_BITS-1:0]           need_vector,
    output logic [COUNT_BITS-1:0]           need_array,
    input  logic [C-1:0][L-1:0][7:0]        activation,
    input  logic                            activation_ready,
    output logic                            activation_take,
    output logic                            activation_done,

    // Index and channel constants from external memory: the same; a job's are there, and no longer needed.
    output logic [INDEX_ADDRESS_BITS-1:0]   index_address,
    input  logic [INDEX_BITS-1:0]           external_entry,
    output logic [CHANNEL_ADDRESS_BITS-1:0] channel_address,
    input  logic [CHANNEL_WORD_BITS-1:0]    external_channel,
    input  logic                            constants_done,
    output logic                            constants_free,

    // Weights: likewise.
    output logic                            fetch,
    output memory_t                         fetch_memory,
    output logic [WEIGHT_ADDRESS_BITS-1:0]  fetch_address,
    output place_t                          fetch_place,
    output logic [BASE_BITS-1:0]            fetch_base,
    output logic [WORD_INDEX_BITS-1:0]      load_index,  // of the word that arrives
    input  logic                            fetch_available,
    input  logic [PORT_BITS-1:0]            fetch_word,

    // Results: R / Q rows × L lanes.
    input  logic                            result_room,
    output logic                            result_reserve,
    output logic [ROW_WORDS_BITS-1:0]       result_words,
    output logic                            result_valid,
    output drain_t                          result_what,
    output row_place_t                      result_place,
    output logic [R/Q-1:0][L-1:0][VALUE_BITS-1:0] result,
    // What a residual sum reads, RESIDUAL_AHEAD cycles before its result; one cycle later a head's quotients are needed.
    output logic                            residual_read,
    output drain_t                          residual_what,
    output row_place_t                      residual_place,
    output logic                            quotient_buffer,
    output logic [GROUP_BITS-1:0]           quotient_group,
    input  logic [L-1:0][21:0]              quotients,   // shift, multiplier; two cycles after these

    output logic                            wait_weights,
    output logic                            wait_activations,
    output logic                            wait_results
);
  // ---- Schedule.
  logic [INDEX_BITS-1:0] index_entry, chip_entry;
  logic index_streamed, index_streamed_late;
  logic [WORD_INDEX_BITS-1:0] fetch_index;
  logic issue, issue_swap, issue_first, issue_bank, drain;
  logic [GROUP_BITS-1:0] issue_group;
  drain_t drain_what;

  // A job in external memory begins when its constants have come; they lie in the next of three buffers.
  logic [1:0] arrived, buffer;
  logic constants_there, constants_late, sequencer_ready;
  job_t placed;
  assign constants_there = job.memory != MEMORY_DDR || arrived != 0;
  assign job_ready       = sequencer_ready && constants_there;
  assign constants_late  = job_valid && !constants_there;
  always_comb begin
    placed = VECTOR != 0 ? job : matrix_alone(job);
    if (job.memory == MEMORY_DDR) begin
      placed.index_base   = INDEX_ADDRESS_BITS'(scaled_by(32'(buffer), INDEX_BUFFER));
      placed.channel_base = CHANNEL_ADDRESS_BITS'(scaled_by(32'(buffer), CHANNEL_BUFFER));
    end
  end
  logic accept_external;
  assign accept_external = job_valid && job_ready && job.memory == MEMORY_DDR;
  always_ff @(posedge clk) begin
    arrived <= arrived + 2'(constants_done) - 2'(accept_external);
    if (accept_external) buffer <= buffer == 2'd2 ? 2'd0 : buffer + 1'b1;
    if (reset) begin
      arrived <= '0;
      buffer  <= '0;
    end
  end

  sequencer u_sequencer (
      .*,
      .job_valid(job_valid && constants_there),
      .job_ready(sequencer_ready),
      .job(placed),
      .issue_buffer(activation_buffer),
      .issue_operand(activation_operand),
      .issue_column(activation_column)
  );
  assign activation_group = issue_group;

  if (INDEX_WORDS > 0) begin : g_index
    localparam int Bits = INDEX_WORDS > 1 ? $clog2(INDEX_WORDS) : 1;
    rom #(
        .WIDTH(INDEX_BITS),
        .DEPTH(INDEX_WORDS),
        .TILE_WIDTH(INDEX_TILE_WIDTH),
        .TILE_DEPTH(INDEX_TILE_DEPTH),
        .TILED(ROM_TILED),
        .FILE("index")
    ) u_index (
        .clk, .address(Bits'(index_address)), .data(chip_entry)
    );
  end else begin : g_no_index
    assign chip_entry = '0;
  end
  delay #(.WIDTH(1), .CYCLES(2)) u_streamed (.clk, .d(index_streamed), .q(index_streamed_late));
  assign index_entry = index_streamed_late ? external_entry : chip_entry;

  // ---- Array. Activations and weight words are there two cycles after they are asked for; the swap one cycle before.
  logic load, load_head, swap;
  logic [R-1:0][L-1:0][31:0] sum;
  delay #(.WIDTH(2 + WORD_INDEX_BITS), .CYCLES(2)) u_load (
      .clk, .d({fetch, is_attention(fetch_memory), fetch_index}), .q({load, load_head, load_index})
  );
  delay #(.WIDTH(1), .CYCLES(1)) u_swap (.clk, .d(issue_swap), .q(swap));
  pe_array u_array (.clk, .load, .load_head, .load_index, .load_word(fetch_word), .swap, .activation, .sum);

  // ---- Accumulators. A token group's sums come ARRAY_STAGES cycles after its issue; requantisation keeps behind them.
  logic ahead, ahead_bank, ahead_first, draining;
  logic [GROUP_BITS-1:0] ahead_group;
  drain_t what;
  logic [Q-1:0][R/Q-1:0][L-1:0][31:0] sums;
  delay_valid #(.CYCLES(ARRAY_STAGES - 1)) u_ahead (.clk, .reset, .d(issue), .q(ahead));
  delay #(.WIDTH(2 + GROUP_BITS), .CYCLES(ARRAY_STAGES - 1)) u_ahead_what (
      .clk, .d({issue_bank, issue_first, issue_group}), .q({ahead_bank, ahead_first, ahead_group})
  );
  delay_valid #(.CYCLES(ARRAY_STAGES)) u_draining (.clk, .reset, .d(drain), .q(draining));
  delay #(.WIDTH($bits(drain_t)), .CYCLES(ARRAY_STAGES)) u_what (.clk, .d(drain_what), .q(what));
  accumulators u_accumulators (
      .clk,
      .ahead,
      .ahead_group,
      .ahead_bank,
      .ahead_first,
      .sum,
      .read_group(what.group),
      .read_bank(what.bank),
      .read_zero(what.zero),
      .read_data(sums)
  );

  // ---- Requantisers, R / Q rows at a time.
  logic [PART_BITS-1:0] part;
  logic [R/Q-1:0][L-1:0][31:0] chosen;
  logic [CHANNEL_WORD_BITS-1:0] channel_word, chip_channel;
  logic [R/Q-1:0][CHANNEL_BITS-1:0] channel;
  logic channel_streamed;
  logic [R/Q-1:0][L-1:0][VALUE_BITS-1:0] requantised;
  logic unused_channel;  // its table bit, where the design has no tables
  assign unused_channel = &{1'b0, channel};
  if (CHANNEL_WORDS > 0) begin : g_channels
    localparam int Bits = CHANNEL_WORDS > 1 ? $clog2(CHANNEL_WORDS) : 1;
    rom #(
        .WIDTH(CHANNEL_WORD_BITS),
        .DEPTH(CHANNEL_WORDS),
        .TILE_WIDTH(CHANNEL_TILE_WIDTH),
        .TILE_DEPTH(CHANNEL_TILE_DEPTH),
        .TILED(ROM_TILED),
        .FILE("channels")
    ) u_channels (
        .clk, .address(Bits'(what.channel)), .data(chip_channel)
    );
  end else begin : g_no_channels
    assign chip_channel = '0;
  end
  assign channel_address = what.channel;
  assign constants_free  = draining && what.last && what.streamed;
  delay #(.WIDTH(1), .CYCLES(2)) u_channel_streamed (.clk, .d(what.streamed), .q(channel_streamed));
  assign channel_word = channel_streamed ? external_channel : chip_channel;
  assign channel      = channel_word[R/Q*CHANNEL_BITS-1:0];
  // From the sums that are chosen on, everything stands still while there are none.
  logic choosing, requantising;
  in_flight #(.STAGES(REQUANTISE_STAGES - 1)) u_requantising (.clk, .valid(choosing), .enable(requantising));
  always_ff @(posedge clk) begin
    choosing <= draining;
    part     <= what.part;
    if (requantising) chosen <= sums[part];
  end
  // A head's results are multiplied by a quotient of their token, without a bias.
  kind_t kind_2;
  logic [1:0] kind_late;
  delay #(.WIDTH(2), .CYCLES(2)) u_kind (.clk, .d(what.kind), .q(kind_late));
  assign kind_2 = kind_t'(kind_late);
  for (genvar r = 0; r < R / Q; r++) begin : g_row
    for (genvar l = 0; l < L; l++) begin : g_lane
      requantiser u_requantiser (
          .clk,
          .enable(requantising),
          .accumulator(chosen[r][l]),
          .bias(kind_2 == MATMUL ? channel[r][CHANNEL_BIAS+:32] : 32'd0),
          .multiplier(kind_2 == CONTEXT ? quotients[l][15:0] : channel[r][CHANNEL_MULTIPLIER+:16]),
          .shift(kind_2 == CONTEXT ? quotients[l][21:16] : channel[r][CHANNEL_SHIFT+:6]),
          .wide(kind_2 == SCORES),
          .result(requantised[r][l])
      );
    end
  end

  // ---- Activation by table, where the design has any.
  if (TABLES > 0) begin : g_tables
    logic table_used;
    logic [TABLE_NUMBER_BITS-1:0] table_number;
    delay #(.WIDTH(1 + TABLE_NUMBER_BITS), .CYCLES(REQUANTISE_STAGES - 2)) u_table (
        .clk, .d({what.table_used, what.table_number}), .q({table_used, table_number})
    );
    for (genvar r = 0; r < R / Q; r++) begin : g_row
      logic which;
      delay_enabled #(.WIDTH(1), .CYCLES(REQUANTISE_STAGES - 4)) u_which (
          .clk, .enable(requantising), .d(channel[r][CHANNEL_TABLE]), .q(which)
      );
      for (genvar l = 0; l < L; l++) begin : g_lane
        activation_tables u_tables (
            .clk, .enable(requantising), .used(table_used), .number(table_number), .which, .value(requantised[r][l]),
            .result(result[r][l])
        );
      end
    end
  end else begin : g_no_tables
    logic unused;
    assign unused = &{1'b0, what.table_used, what.table_number};
    assign result = requantised;
  end
  delay_valid #(.CYCLES(REQUANTISE_STAGES)) u_valid (.clk, .reset, .d(draining), .q(result_valid));
  drain_t traced;
  delay #(.WIDTH($bits(drain_t)), .CYCLES(REQUANTISE_STAGES)) u_result_what (.clk, .d(traced), .q(result_what));
  always_comb begin
    traced = what;
    if (VECTOR == 0) begin
      // Of a matrix's results only their end is asked for.
      traced          = '0;
      traced.last     = what.last;
      traced.run_last = what.run_last;
    end
  end

  // ---- Where a matrix's results go is written beside their constants.
  if (VECTOR != 0) begin : g_places
    row_place_t row_place;
    assign row_place = channel_word[CHANNEL_WORD_BITS-1 -: $bits(row_place_t)];
    delay #(.WIDTH($bits(row_place_t)), .CYCLES(REQUANTISE_STAGES - RESIDUAL_AHEAD - 2)) u_residual_place (
        .clk, .d(row_place), .q(residual_place)
    );
    delay #(.WIDTH($bits(row_place_t)), .CYCLES(RESIDUAL_AHEAD)) u_result_place (
        .clk, .d(residual_place), .q(result_place)
    );
    delay #(.WIDTH($bits(drain_t)), .CYCLES(REQUANTISE_STAGES - RESIDUAL_AHEAD)) u_residual_what (
        .clk, .d(what), .q(residual_what)
    );
    logic residual_valid;
    delay_valid #(.CYCLES(REQUANTISE_STAGES - RESIDUAL_AHEAD)) u_residual (.clk, .reset, .d(draining), .q(residual_valid));
    assign residual_read = residual_valid && residual_what.target == TO_SUMS;
  end else begin : g_no_places
    assign {result_place, residual_place, residual_what, residual_read} = '0;
  end
  assign quotient_buffer = what.head_buffer;
  assign quotient_group  = what.group;
endmodule

// The schedule: which block is in the array when, and when its block row is requantised.
//
// The blocks of a matrix are those that its index names. The products of a head have all theirs: QKᵀ has R keys × C
// features of K in the array, the product with the exponentials R features of V × C keys.
//
// A block stays for S = max(T, F) cycles (T token groups pass it, and F cycles bring the next block). A block row lasts
// at least T·Q cycles, because the one before it is requantised meanwhile; an empty one lasts T·Q. Jobs follow each
// other without a gap. The schedule waits for weights, activations and room for results at the ends of blocks and block
// rows only: what is under way is never stopped.
module sequencer
  import engine_pkg::*;
(
    input  logic                            clk,
    input  logic                            reset,

    // Jobs, in order.
    input  logic                            job_valid,
    output logic                            job_ready,
    input  job_t                            job,
    input  logic [GROUP_COUNT_BITS-1:0]     groups,
    // The next job waits for its index and channel constants.
    input  logic                            constants_late,

    // Index memory: the entry of an address comes two cycles later.
    output logic [INDEX_ADDRESS_BITS-1:0]   index_address,
    output logic                            index_streamed,  // of a job in external memory
    input  logic [INDEX_BITS-1:0]           index_entry,

    // Weights: one word of the next block per cycle.
    output logic                            fetch,
    output logic [WEIGHT_ADDRESS_BITS-1:0]  fetch_address,
    output memory_t                         fetch_memory,
    output logic [WORD_INDEX_BITS-1:0]      fetch_index,
    output place_t                          fetch_place,    // of a block of K or V, whose memory's words from
    output logic [BASE_BITS-1:0]            fetch_base,     // here on are the head's
    input  logic                            fetch_available,

    // A token group enters the array.
    output logic                            issue,
    output logic                            issue_swap,
    output logic                            issue_first,
    output logic                            issue_bank,
    output logic [GROUP_BITS-1:0]           issue_group,
    output logic [COLUMN_BITS-1:0]          issue_column,
    output logic                            issue_buffer,
    output operand_t                        issue_operand,

    // A part of a token group's sums is requantised.
    output logic                            drain,
    output drain_t                          drain_what,

    // The next job, with the steps that must have ended; what it reads is there; it begins; what it has read is no longer
    // needed.
    output logic                            next_valid,
    output logic [COUNT_BITS-1:0]           need_vector,
    output logic [COUNT_BITS-1:0]           need_array,
    input  logic                            activation_ready,
    output logic                            activation_take,
    output logic                            activation_done,
    // The results of one more block row have room; it is taken.
    input  logic                            result_room,
    output logic                            result_reserve,
    output logic [ROW_WORDS_BITS-1:0]       result_words,

    // Cycles in which the array waits.
    output logic                            wait_weights,
    output logic                            wait_activations,
    output logic                            wait_results
);
  localparam int Queue = 8;  // index entries ahead of the array
  localparam int Jobs = 4;  // jobs with entries among them, or none yet
  localparam int QueueBits = $clog2(Queue);
  localparam int JobsBits = $clog2(Jobs);
  localparam int Bases = 8;  // jobs whose first block has not been asked for: at most one more than those
  localparam int BasesBits = $clog2(Bases);

  // ---- Index reader: entries to a queue, two cycles after their addresses.
  typedef struct packed {
    logic                   job_first;
    logic                   job_last;
    logic                   empty;
    logic                   last;
    logic [COLUMN_BITS-1:0] column;
    place_t                 place;
  } entry_t;

  logic read_busy, read_first, reading, read_last, accept, push, take;
  logic [ENTRY_COUNT_BITS-1:0] read_left;
  logic [INDEX_ADDRESS_BITS-1:0] read_address;
  logic [1:0] coming, coming_first, coming_last, coming_attention;
  entry_t queue[Queue];
  entry_t pushed, head;
  logic [QueueBits-1:0] queue_head, queue_tail;
  logic [QueueBits:0] queue_count, promised;
  logic head_valid;

  // Jobs between the index reader and the array.
  job_t jobs[Jobs];
  logic [JobsBits-1:0] jobs_in, jobs_out;
  logic [JobsBits:0] jobs_count;
  logic take_job;

  // The blocks of a head's products, counted at three levels: those of a block row innermost.
  logic read_attention, inner_last, middle_last, outer_last;
  kind_t read_kind;
  logic [HEAD_COUNT_BITS-1:0] inner, middle, outer, inner_count, middle_count, outer_count;
  logic [COLUMN_BITS-1:0] linear;  // number of a block in its block row
  entry_t [1:0] made;

  assign reading       = read_busy && promised < (QueueBits + 1)'(Queue);
  assign read_attention = read_kind != MATMUL;
  assign inner_last    = inner == inner_count - 1'b1;
  assign middle_last   = middle == middle_count - 1'b1;
  assign outer_last    = outer == outer_count - 1'b1;
  assign read_last     = reading && (read_attention ? inner_last && middle_last && outer_last : read_left == 1);
  assign index_address = read_address;
  assign job_ready     = (!read_busy || read_last) && jobs_count < (JobsBits + 1)'(Jobs);
  assign accept        = job_valid && job_ready;
  assign push          = coming[1];
  always_comb begin
    pushed           = made[1];
    pushed.job_first = coming_first[1];
    pushed.job_last  = coming_last[1];
    if (!coming_attention[1]) begin
      pushed.empty  = index_entry[INDEX_BITS-1];
      pushed.last   = index_entry[INDEX_BITS-2];
      pushed.column = COLUMN_BITS'(index_entry[INDEX_BITS-3:0]);
    end
  end
  assign head          = queue[queue_head];
  assign head_valid    = queue_count != 0;

  always_ff @(posedge clk) begin
    coming       <= {coming[0], reading};
    coming_first <= {coming_first[0], read_first};
    coming_last  <= {coming_last[0], read_last};
    coming_attention <= {coming_attention[0], read_attention};
    made[1]      <= made[0];
    made[0]      <= '{
          job_first: 1'b0,
          job_last: 1'b0,
          empty: 1'b0,
          last: inner_last && (read_kind == SCORES || middle_last),
          column: linear,
          // QKᵀ: block column, block of keys, token group of keys; with V: block row, block of keys, token group.
          place: '{
              column: STATIONARY_BITS'(read_kind == SCORES ? inner : outer),
              lane: STATIONARY_LANE_BITS'(read_kind == SCORES ? middle : inner),
              group: GROUP_BITS'(read_kind == SCORES ? outer : middle),
              last: read_kind == SCORES ? inner_last : inner == inner_count - 1'b1
          }
      };
    if (reading && read_attention) begin
      inner  <= inner_last ? '0 : inner + 1'b1;
      linear <= inner_last && (read_kind == SCORES || middle_last) ? '0 : linear + 1'b1;
      if (inner_last) begin
        middle <= middle_last ? '0 : middle + 1'b1;
        if (middle_last) outer <= outer_last ? '0 : outer + 1'b1;
      end
    end
    if (reading) begin
      read_address <= read_address + 1'b1;
      read_left    <= read_left - 1'b1;
      read_first   <= 1'b0;
      if (read_last) read_busy <= 1'b0;
    end
    if (accept) begin
      jobs[jobs_in] <= job;
      jobs_in       <= jobs_in + 1'b1;
      read_busy     <= 1'b1;
      read_first    <= 1'b1;
      read_address  <= job.index_base;
      index_streamed <= job.memory == MEMORY_DDR;
      read_left     <= job.entries;
      read_kind     <= job.kind;
      inner         <= '0;
      middle        <= '0;
      outer         <= '0;
      linear        <= '0;
      inner_count   <= job.kind == SCORES ? HEAD_COUNT_BITS'(HEAD_COLUMNS) : HEAD_COUNT_BITS'(KEY_COLUMNS);
      middle_count  <= job.kind == SCORES ? HEAD_COUNT_BITS'(KEY_ROWS) : HEAD_COUNT_BITS'(groups);
      outer_count   <= job.kind == SCORES ? HEAD_COUNT_BITS'(groups) : HEAD_COUNT_BITS'(HEAD_ROWS);
    end
    if (push) begin
      queue[queue_tail] <= pushed;
      queue_tail        <= queue_tail + 1'b1;
    end
    if (take) queue_head <= queue_head + 1'b1;
    if (take_job) jobs_out <= jobs_out + 1'b1;
    queue_count <= queue_count + (QueueBits + 1)'(push) - (QueueBits + 1)'(take);
    promised    <= promised + (QueueBits + 1)'(reading) - (QueueBits + 1)'(take);
    jobs_count  <= jobs_count + (JobsBits + 1)'(accept) - (JobsBits + 1)'(take_job);
    if (reset) begin
      read_busy   <= 1'b0;
      coming      <= '0;
      queue_head  <= '0;
      queue_tail  <= '0;
      queue_count <= '0;
      promised    <= '0;
      jobs_in     <= '0;
      jobs_out    <= '0;
      jobs_count  <= '0;
    end
  end

  // ---- Weight fetcher: one block ahead of the array. Blocks whose entries have been read wait in a queue of their own,
  // each with a mark at the first of its job; `fetched` counts the words of the next block asked for.
  logic [Queue-1:0] fetch_marks;
  place_t fetch_places[Queue];
  logic [QueueBits-1:0] fetch_head, fetch_tail;
  logic [QueueBits:0] fetch_count;
  logic block_seen;  // a block of the job whose entries are being pushed
  logic [WEIGHT_ADDRESS_BITS-1:0] bases[Bases];
  memory_t memories[Bases];
  logic [JobsBits-1:0] owners[Bases];  // their places among `jobs`
  logic [BASE_BITS-1:0] head_bases[Bases];
  logic [BASE_BITS-1:0] head_base;
  logic [BasesBits-1:0] bases_in, bases_out;
  logic [WEIGHT_ADDRESS_BITS-1:0] next_address;
  memory_t memory;
  logic [FETCH_BITS-1:0] fetched;
  place_t place;
  logic loaded, restart, take_block, push_block, fetch_first, fetch_wait;

  assign push_block    = push && !pushed.empty;
  // What is in the memories of K and V is there only when its job may begin.
  assign fetch_wait    = fetch_first && is_attention(memories[bases_out])
      && !(activation_ready && next_valid && owners[bases_out] == jobs_out);
  assign loaded        = fetched == (is_attention(memory) ? FETCH_BITS'(HEAD_WORDS) : FETCH_BITS'(FETCH_WORDS));
  assign fetch_first   = fetch_marks[fetch_head];
  assign fetch_memory  = (fetched == 0 || loaded) && fetch_first ? memories[bases_out] : memory;
  assign restart       = fetch_count != 0 && (fetched == 0 || (loaded && take_block)) && fetch_available && !fetch_wait;
  assign fetch         = restart || (fetched != 0 && !loaded && fetch_available);
  assign fetch_address = restart && fetch_first ? bases[bases_out] : next_address;
  assign fetch_index   = restart ? '0 : WORD_INDEX_BITS'(fetched);
  assign fetch_place   = restart ? fetch_places[fetch_head] : place;
  assign fetch_base    = restart && fetch_first ? head_bases[bases_out] : head_base;

  always_ff @(posedge clk) begin
    if (accept && job.has_blocks) begin
      bases[bases_in]    <= job.weight_base;
      memories[bases_in] <= job.memory;
      owners[bases_in]     <= jobs_in;
      head_bases[bases_in] <= job.stationary_base;
      bases_in           <= bases_in + 1'b1;
    end
    if (push) block_seen <= !pushed.job_last && (block_seen || !pushed.empty);
    if (push_block) begin
      fetch_marks[fetch_tail]  <= !block_seen;
      fetch_places[fetch_tail] <= pushed.place;
      fetch_tail              <= fetch_tail + 1'b1;
    end
    fetch_count <= fetch_count + (QueueBits + 1)'(push_block) - (QueueBits + 1)'(restart);
    if (fetch) next_address <= fetch_address + 1'b1;
    if (restart) begin
      fetched    <= FETCH_BITS'(1);
      fetch_head <= fetch_head + 1'b1;
      memory     <= fetch_memory;
      place      <= fetch_place;
      head_base  <= fetch_base;
      if (fetch_first) bases_out <= bases_out + 1'b1;
    end else if (fetch) begin
      fetched <= fetched + 1'b1;
    end else if (loaded && take_block) begin
      fetched <= '0;
    end
    if (reset) begin
      fetched     <= '0;
      fetch_head  <= '0;
      fetch_tail  <= '0;
      fetch_count <= '0;
      bases_in    <= '0;
      bases_out   <= '0;
      block_seen  <= 1'b0;
    end
  end

  // ---- The array: the present entry, how long it has been there, and how long its block row has lasted.
  job_t next, now;
  entry_t current;
  logic unused;
  logic current_valid, first_block, bank, buffer;
  logic [GROUP_COUNT_BITS-1:0] position, slot, slot_head, slot_now;
  logic [ROW_WORDS_BITS-1:0] row_age, row_words;
  logic [CHANNEL_ADDRESS_BITS-1:0] channel;
  logic slot_over, row_old, row_over, finish, head_ready, row_end;

  // One value for all jobs of a run: they have the same number of tokens.
  always_ff @(posedge clk) begin
    slot      <= groups < GROUP_COUNT_BITS'(FETCH_WORDS) ? GROUP_COUNT_BITS'(FETCH_WORDS) : groups;
    slot_head <= groups < GROUP_COUNT_BITS'(HEAD_WORDS) ? GROUP_COUNT_BITS'(HEAD_WORDS) : groups;
    row_words <= ROW_WORDS_BITS'(scaled_by(32'(groups), Q));
  end

  assign next       = jobs[jobs_out];
  assign next_valid = jobs_count != 0;
  assign need_vector = next.need_vector;
  assign need_array  = next.need_array;
  assign unused     = &{1'b0, next, now, current.job_first, current.place};
  // The last cycle of the present block; at a block row's end, of the row.
  assign slot_now  = now.memory == MEMORY_DDR ? groups : is_attention(now.memory) ? slot_head : slot;
  assign slot_over = current.empty || position >= slot_now - 1'b1;
  assign row_old   = row_age >= row_words - 1'b1;
  assign row_over  = row_old && result_room;
  assign finish    = current_valid && slot_over && (!current.last || row_over);
  assign row_end   = finish && current.last;
  assign head_ready = head_valid && (head.empty || loaded) && (!head.job_first || activation_ready);
  assign take       = head_ready && (!current_valid || finish);
  assign take_job   = take && head.job_first;
  assign take_block = take && !head.empty;

  assign result_reserve   = row_end;
  assign result_words     = row_words;
  assign activation_take  = take_job;
  assign activation_done  = finish && current.job_last;
  assign wait_results     = current_valid && slot_over && current.last && row_old && !result_room;
  assign wait_activations = (!current_valid || finish) && head_valid && head.job_first && !activation_ready;
  assign wait_weights     = (!current_valid || finish)
      && (head_valid ? !head_ready && !wait_activations : constants_late);

  always_ff @(posedge clk) begin
    if (take) begin
      current       <= head;
      current_valid <= 1'b1;
      position      <= '0;
    end else if (finish) begin
      current_valid <= 1'b0;
    end else if (position != slot_now) begin
      // One beyond the last cycle while a block row waits for its end: nothing is issued then.
      position <= position + 1'b1;
    end
    if (take_job) begin
      now    <= next;
      buffer <= !buffer;
    end
    if ((current_valid || !first_block) && !row_old) row_age <= row_age + 1'b1;
    if (finish) first_block <= current.last;
    if (row_end) begin
      row_age <= '0;
      bank    <= !bank;
    end
    if (take_job) channel <= next.channel_base;
    else if (row_end && now.kind == MATMUL) channel <= channel + CHANNEL_ADDRESS_BITS'(Q);
    if (reset) begin
      current_valid <= 1'b0;
      row_age       <= '0;
      first_block   <= 1'b1;
      bank          <= 1'b0;
      buffer        <= 1'b1;
    end
  end

  assign issue        = current_valid && !current.empty && position < groups;
  assign issue_swap   = issue && position == 0;
  assign issue_first  = first_block;
  assign issue_bank   = bank;
  assign issue_group  = GROUP_BITS'(position);
  assign issue_column = current.column;
  assign issue_buffer = buffer;
  assign issue_operand = now.operand;

  // ---- Where the results of the next block row of a head go: its first word, in units of the memory that takes them.
  logic row_first, key_group_last, head_row_last;
  logic [PLACE_COLUMN_BITS-1:0] row_column, key_column;
  logic [PLACE_SUB_BITS-1:0] row_sub;
  logic [HEAD_COUNT_BITS-1:0] key_block, key_group, head_row;
  logic [GAIN_ADDRESS_BITS-1:0] gain;
  assign key_group_last = key_block == HEAD_COUNT_BITS'(KEY_ROWS - 1);
  assign head_row_last  = head_row == HEAD_COUNT_BITS'(HEAD_ROWS - 1);

  always_ff @(posedge clk) begin
    if (take_job) begin
      row_first  <= 1'b1;
      row_column <= next.place_column;
      row_sub    <= next.place_sub;
      key_column <= '0;
      key_block  <= '0;
      key_group  <= '0;
      head_row   <= '0;
      gain       <= next.gain_base;
    end else if (row_end) begin
      row_first <= 1'b0;
      gain      <= gain + GAIN_ADDRESS_BITS'(Q);
      head_row  <= head_row + 1'b1;
      if (now.kind == SCORES) begin
        {row_column, row_sub} <= moved_on(row_column, row_sub, Q, SUM_BANKS);
        key_block <= key_block + 1'b1;
        if (key_group_last) begin
          key_block  <= '0;
          key_group  <= key_group + 1'b1;
          key_column <= key_column + PLACE_COLUMN_BITS'(KEY_WORDS);
          row_column <= key_column + PLACE_COLUMN_BITS'(KEY_WORDS);
          row_sub    <= '0;
        end
      end else begin
        {row_column, row_sub} <= moved_on(row_column, row_sub, Q, STATE_PARTS);
      end
    end
  end

  // ---- Requantisation of the block row that has just ended: T groups, Q parts of each.
  logic drain_last_part, drain_last_group, drain_job_last;
  logic [PLACE_COLUMN_BITS-1:0] drain_column;
  logic [PLACE_SUB_BITS-1:0] drain_sub;
  logic [PART_BITS:0] drain_parts;  // of the block row that are wanted
  assign drain_last_part  = drain_what.part == PART_BITS'(Q - 1);
  assign drain_last_group = GROUP_COUNT_BITS'(drain_what.group) == groups - 1'b1;

  drain_t present;
  always_comb begin
    drain_what      = present;
    drain_what.last = drain_job_last && drain_last_part && drain_last_group;
    drain_what.valid = (PART_BITS + 1)'(present.part) < drain_parts;
  end

  always_ff @(posedge clk) begin
    if (row_end) begin
      drain          <= 1'b1;
      drain_job_last <= current.job_last;
      drain_column   <= row_column;
      drain_sub      <= row_sub;
      drain_parts    <= (PART_BITS + 1)'(Q);
      if (now.kind == SCORES && key_group_last) drain_parts <= (PART_BITS + 1)'(LAST_KEY_PARTS);
      if (now.kind == CONTEXT && head_row_last) drain_parts <= (PART_BITS + 1)'(LAST_HEAD_PARTS);
      present        <= '{
          last: 1'b0,
          valid: 1'b0,
          first: row_first,
          kind: now.kind,
          target: now.target,
          target_base: now.target_base,
          residual_base: now.residual_base,
          column: row_column,
          sub: row_sub,
          key_lane: KEY_LANE_BITS'(scaled_by(32'(key_block), R)),
          key_group_last: GROUP_COUNT_BITS'(key_group) == groups - 1'b1,
          gain: gain,
          head_buffer: now.head_buffer,
          run_last: now.run_last,
          bank: bank,
          zero: current.empty,
          group: '0,
          part: '0,
          channel: channel,
          streamed: now.memory == MEMORY_DDR,
          table_used: now.table_used,
          table_number: now.table_number
      };
    end else if (drain) begin
      if (drain_last_part) begin
        present.part    <= '0;
        present.group   <= present.group + 1'b1;
        present.channel <= present.channel - CHANNEL_ADDRESS_BITS'(present.kind == MATMUL ? Q - 1 : 0);
        present.gain    <= present.gain - GAIN_ADDRESS_BITS'(Q - 1);
        present.column  <= drain_column;
        present.sub     <= drain_sub;
        present.key_lane <= present.key_lane - KEY_LANE_BITS'((Q - 1) * D);
        if (drain_last_group) drain <= 1'b0;
      end else begin
        present.part    <= present.part + 1'b1;
        present.channel <= present.channel + CHANNEL_ADDRESS_BITS'(present.kind == MATMUL ? 1 : 0);
        present.gain    <= present.gain + 1'b1;
        {present.column, present.sub} <= present.kind == SCORES
            ? moved_on(present.column, present.sub, 1, SUM_BANKS)
            : moved_on(present.column, present.sub, 1, STATE_PARTS);
        present.key_lane <= present.key_lane + KEY_LANE_BITS'(D);
      end
    end
    if (reset) drain <= 1'b0;
  end
endmodule

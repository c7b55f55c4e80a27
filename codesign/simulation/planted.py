"""Faults that are planted in the engine: each one change of one source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One change of one source.

    Attributes:
        what: The mistake, in words.
        file: Of ``hls_templates/rtl``.
        right: Text that is there once.
        wrong: What stands there instead.
    """

    what: str
    file: str
    right: str
    wrong: str


ENGINE_FAULTS = (
    Fault("activations unsigned", "pe_array.sv", "32'($signed(late[2*d]))", "32'(late[2*d])"),
    Fault(
        "weights unsigned",
        "pe_array.sv",
        "assign weight[c] = 32'($signed(weights[r][c]));",
        "assign weight[c] = 32'(weights[r][c]);",
    ),
    Fault("borrow of the lower field kept", "pe_row.sv", " + SUM_BITS'(result[FIELD_SHIFT-1])", ""),
    Fault(
        "lower field one bit short",
        "pe_row.sv",
        "result[FIELD_SHIFT-1:0]));\n          partial[0][1]",
        "result[FIELD_SHIFT-2:0]));\n          partial[0][1]",
    ),
    Fault("cascade skips a DSP", "pe_row.sv", ".added(cascade[k])", ".added(cascade[k > 1 ? k - 1 : k])"),
    Fault("short cascade not delayed", "pe_row.sv", ".CYCLES(CHAIN - Cols)) u_wait", ".CYCLES(0)) u_wait"),
    Fault("odd input of the adder tree lost", "adder_tree.sv", "sums[i] <= d[2*i];", "sums[i] <= '0;"),
    Fault("overlap of four products not corrected", "split_four.sv", "product[10:9] - known0", "product[10:9]"),
    Fault("middle product's borrow lost", "split_four.sv", " + 20'(mid0[10])", ""),
    Fault(
        "weights swapped one cycle late for the last columns",
        "weight_registers.sv",
        "if (arrivals[c % CHAIN].swap)",
        "if (arrivals[c == C - 1 ? 0 : c % CHAIN].swap)",
    ),
    Fault(
        "a weight word lands one word off",
        "weight_registers.sv",
        "WORD_INDEX_BITS'(Word))",
        "WORD_INDEX_BITS'(Word == 0 ? 0 : Word - 1))",
    ),
    Fault("accumulator not cleared at a block row's start", "accumulators.sv", "first ? '0 :", "1'b0 ? '0 :"),
    Fault("stale accumulator at T = 1", "accumulators.sv", "forward ? last_total :", "1'b0 ? last_total :"),
    Fault(
        "banks of the accumulators mixed up when reading",
        "accumulators.sv",
        "stored[read_bank_late]",
        "stored[!read_bank_late]",
    ),
    Fault(
        "a first block reads over the requantisation",
        "accumulators.sv",
        "ahead && !ahead_first && ahead_bank",
        "ahead && ahead_bank",
    ),
    Fault("an empty block row keeps old sums", "accumulators.sv", "read_zero_late ? '0 :", "1'b0 ? '0 :"),
    Fault("a pipeline stops before its last stage", "in_flight.sv", "Bits'(STAGES - 1)", "Bits'(STAGES - 2)"),
    Fault("no rounding", "requantiser.sv", " + $signed({48'd0, below})", ""),
    Fault(
        "shift logical instead of arithmetic",
        "requantiser.sv",
        "(product >>> shift_late)",
        "$signed(product >> shift_late)",
    ),
    Fault("saturation to -128", "requantiser.sv", "rounded < -limit ? -limit", "rounded < -limit - 1 ? -limit - 1"),
    Fault("saturation above missing", "requantiser.sv", "rounded > limit ? limit :", "1'b0 ? limit :"),
    Fault("bias left out", "requantiser.sv", " + 33'($signed(bias))", ""),
    Fault(
        "multiplier signed",
        "requantiser.sv",
        ".multiplier({2'b00, multiplier_late})",
        ".multiplier(18'($signed(multiplier_late)))",
    ),
    Fault(
        "wrong half of the activation table",
        "activation_tables.sv",
        "{number, which, !value[7]",
        "{number, which, value[7]",
    ),
    Fault("always the first of two tables", "activation_tables.sv", "{number, which,", "{number, 1'b0,"),
    Fault(
        "last block of a matrix lost",
        "sequencer.sv",
        "outer_last : read_left == 1);",
        "outer_last : read_left <= 2);",
    ),
    Fault(
        "block row shorter than its requantisation",
        "sequencer.sv",
        "assign row_over  = row_old && result_room;",
        "assign row_over  = result_room;",
    ),
    Fault(
        "last token group issued again and again",
        "sequencer.sv",
        "assign issue        = current_valid && !current.empty && position < groups;",
        "assign issue        = current_valid && !current.empty;",
    ),
    Fault(
        "index queue one entry too deep",
        "sequencer.sv",
        "promised < (QueueBits + 1)'(Queue)",
        "promised <= (QueueBits + 1)'(Queue)",
    ),
    Fault(
        "weights of the next matrix from the present one's end",
        "sequencer.sv",
        "restart && fetch_first ? bases[bases_out]",
        "1'b0 ? bases[bases_out]",
    ),
    Fault("channel constants do not move on", "sequencer.sv", "channel + CHANNEL_ADDRESS_BITS'(Q)", "channel"),
    Fault("matrix begins before its activations", "sequencer.sv", "&& (!head.job_first || activation_ready)", ""),
    Fault(
        "schedule one cycle slower per block", "sequencer.sv", "position >= slot_now - 1'b1;", "position >= slot_now;"
    ),
    Fault("both matrices in one activation buffer", "activation_buffers.sv", "scaled_by(32'(half), Words) + ", ""),
    Fault(
        "activations of a third matrix overwrite the first",
        "activation_buffers.sv",
        "job_valid && used != 2'd2",
        "job_valid",
    ),
    Fault(
        "results without regard to room",
        "result_store.sv",
        "assign room   = free >= CountBits'(words);",
        "assign room   = 1'b1;",
    ),
    Fault(
        "back-pressure on results dropped",
        "result_store.sv",
        "assign pop    = m_valid && m_ready &&",
        "assign pop    = m_valid &&",
    ),
    Fault(
        "last beat marked too early",
        "result_store.sv",
        "assign m_last = last && beat == BeatBits'(RESULT_BEATS - 1);",
        "assign m_last = last;",
    ),
    Fault(
        "burst across 4 KiB",
        "external_reader.sv",
        "found = 32'(of_page) < Longest ? 32'(of_page) : Longest;",
        "found = Longest;",
    ),
    Fault(
        "burst one beat short",
        "external_reader.sv",
        "assign m_arlen    = 8'(length - 1'b1);",
        "assign m_arlen    = 8'(length - 2'd2);",
    ),
    Fault(
        "beats asked for without room",
        "external_reader.sv",
        "room         <= RoomBits'(READ_BEATS);",
        "room         <= '1;",
    ),
    Fault(
        "constants of two matrices in one buffer",
        "external_constants.sv",
        "if (last) buffer <= buffer == 2'd2 ? 2'd0 : buffer + 1'b1;",
        "",
    ),
    Fault(
        "upper half of the address of external memory ignored",
        "registers.sv",
        "memory_base[63:32] <= s_wdata;",
        "memory_base[63:32] <= '0;",
    ),
    Fault(
        "second start accepted",
        "registers.sv",
        "if (busy || start) error_busy <= 1'b1;",
        "if (1'b0) error_busy <= 1'b1;",
    ),
    Fault("a start overtakes the number of tokens", "registers.sv", "!s_bvalid && written == 0", "!s_bvalid"),
    Fault("waiting for room counts as waiting for weights", "registers.sv", "32'(wait_results)", "32'(wait_weights)"),
    Fault("waiting for constants is not counted", "sequencer.sv", ": constants_late);", ": 1'b0);"),
    Fault(
        "bit 9 of a count of matrices ignored",
        "registers.sv",
        "layer_count <= s_wdata",
        "layer_count <= s_wdata & ~32'd512",
    ),
    Fault("more tokens than fit accepted", "registers.sv", "tokens != 0 && tokens <= 32'(MAX_TOKENS)", "tokens != 0"),
    Fault("a result survives reset", "delay_valid.sv", "line[i] && !reset", "line[i]"),
    Fault("repeats lost", "job_walker.sv", "job_valid    <= repeats_left != 1;", "job_valid    <= 1'b0;"),
)
"""Of what every engine has."""


ENCODER_FAULTS = (
    Fault("exponential without rounding", "exponential.sv", "(21'd64 << octave)", "(21'd0 << octave)"),
    Fault(
        "exponential's octave off",
        "exponential.sv",
        "octave       <= steps[9:7];",
        "octave       <= steps[9:7] ^ 3'd4;",
    ),
    Fault("distance to the highest score wraps", "exponential.sv", "distance > 17'd1023 ? 10'd1023 : ", ""),
    Fault("absent keys have weight", "exponential.sv", "present_late[1] ? rounded[7:0] : 8'd0", "rounded[7:0]"),
    Fault("scores unsigned", "exponential.sv", "17'($signed(score))", "{1'b0, score}"),
    Fault(
        "highest score of all token groups together",
        "residual_sums.sv",
        "{what_4.head_buffer, what_4.group}",
        "{what_4.head_buffer, GROUP_BITS'(0)}",
    ),
    Fault("highest score starts at zero", "residual_sums.sv", "? -16'sd32768 :", "? 16'sd0 :"),
    Fault(
        "highest score kept from the last head",
        "residual_sums.sv",
        "what_4.first && what_4.part == '0 ? -16'sd32768",
        "1'b0 ? -16'sd32768",
    ),
    Fault("absent keys may be the highest", "residual_sums.sv", "if (key_present[d] && ", "if ("),
    Fault(
        "highest score compared unsigned",
        "residual_sums.sv",
        "$signed(value_4[d][l]) > present",
        "value_4[d][l] > $unsigned(present)",
    ),
    Fault(
        "heads' two buffers one",
        "vector_unit.sv",
        "assign highest_buffer = step.head_buffer;",
        "assign highest_buffer = 1'b0;",
    ),
    Fault(
        "sum of a token kept from the last step",
        "residual_sums.sv",
        "first_end ? '0 : memory[group_end]",
        "memory[group_end]",
    ),
    Fault("sums of squares one feature short", "residual_sums.sv", "48'(cascade[D])", "48'(cascade[D-1])"),
    Fault("a sum of D features taken unsigned", "residual_sums.sv", "33'($signed(sum[d][l]))", "33'(sum[d][l])"),
    Fault(
        "residual sums to the wrong bank",
        "residual_sums.sv",
        "is_sum && place_4.bank == PLACE_SUB_BITS'(b)",
        "is_sum && place_4.bank == PLACE_SUB_BITS'(b ^ 1)",
    ),
    Fault("residual sum without rounding", "weighted_sums.sv", ".added(48'sd32)", ".added(48'sd0)"),
    Fault(
        "gain of the residual signed",
        "weighted_sums.sv",
        ".a({16'd0, residual_gain})",
        ".a(32'($signed(residual_gain)))",
    ),
    Fault(
        "residual unsigned",
        "weighted_sums.sv",
        ".B_BITS(8), .PORT_C(1'b1)) u_residual (\n"
        "          .clk, .enable, .a({16'd0, residual_gain}), .b(32'($signed(residual[l])))",
        ".B_BITS(9), .PORT_C(1'b1)) u_residual (\n"
        "          .clk, .enable, .a({16'd0, residual_gain}), .b(32'(residual[l]))",
    ),
    Fault(
        "three times a gain loses its carry",
        "weighted_sums.sv",
        "thrice[f]  <= {2'd0, gain[f]} +",
        "thrice[f]  <= {2'd0, gain[f] & 16'h7fff} +",
    ),
    Fault(
        "top digit of a factor positive",
        "weighted_sums.sv",
        "default: signed_multiple = negated;",
        "default: signed_multiple = {2'd0, once};",
    ),
    Fault("rounding lost in the digits' carry", "weighted_sums.sv", "{above, 3'b001}", "{above, 3'b000}"),
    Fault("mean not rounded", "deviation.sv", "(scaled + (51'sd1 <<< (MEAN_SHIFT - 1)))", "(scaled)"),
    Fault("variance without its epsilon", "deviation.sv", " + 51'($signed({10'b0, epsilon}))", ""),
    Fault(
        "variance of one token late",
        "deviation.sv",
        "delay #(.WIDTH(48), .CYCLES(10)) u_squares",
        "delay #(.WIDTH(48), .CYCLES(11)) u_squares",
    ),
    Fault("radicand of an odd place", "deviation.sv", "if (variance[2*i +: 2] != 2'd0)", "if (variance[2*i])"),
    Fault(
        "deviation does not saturate",
        "deviation.sv",
        "placed > 33'h0ff_ffff ? 24'hff_ffff : placed[23:0]",
        "placed[23:0]",
    ),
    Fault(
        "deviation shifted by one place less",
        "deviation.sv",
        "33'(found) << (5'(DEVIATION_PLACES) - quotient_passed.half)",
        "33'(found) << (5'(DEVIATION_PLACES) - quotient_passed.half - 5'd1)",
    ),
    Fault(
        "small deviations not shifted",
        "deviation.sv",
        "quotient_passed.half > 5'(DEVIATION_PLACES)\n",
        "1'b0 && quotient_passed.half > 5'(DEVIATION_PLACES)\n",
    ),
    Fault(
        "root takes a digit that does not fit",
        "square_root.sv",
        "assign fits  = next >= trial;",
        "assign fits  = next + 20'd1 >= trial;",
    ),
    Fault(
        "quotient misses an equal digit",
        "quotient.sv",
        "assign fits = next >= {1'b0, divisors[i]};",
        "assign fits = next > {1'b0, divisors[i]};",
    ),
    Fault(
        "normalised value not rounded",
        "normaliser.sv",
        "(product + (48'sd1 <<< (DEVIATION_PLACES - 1)))",
        "(product)",
    ),
    Fault("offset of a LayerNorm left out", "normaliser.sv", "48'($signed(offset)) + ", ""),
    Fault(
        "LayerNorm saturates to -128",
        "normaliser.sv",
        "shifted < -48'sd127 ? -8'sd127",
        "shifted < -48'sd128 ? -8'sd128",
    ),
    Fault("LayerNorm does not saturate above", "normaliser.sv", "shifted > 48'sd127 ? 8'sd127 : ", ""),
    Fault("result's half that rounds left out", "normaliser.sv", " + (48'sd1 <<< (NORM_SHIFT - 1))", ""),
    Fault(
        "upper part of a wide product late",
        "wide_product.sv",
        ".OPERAND_STAGES(2), .SHIFT(17)",
        ".OPERAND_STAGES(1), .SHIFT(17)",
    ),
    Fault(
        "lower part of a wide product signed",
        "wide_product.sv",
        ".a({15'd0, factor[16:0]})",
        ".a(32'($signed(factor[16:0])))",
    ),
    Fault(
        "constants of a LayerNorm always the first's",
        "vector_unit.sv",
        "step.norm_base + NORM_ADDRESS_BITS'(pass_beat)",
        "NORM_ADDRESS_BITS'(pass_beat)",
    ),
    Fault(
        "means of two token groups in one place",
        "vector_unit.sv",
        "assign means[l]      = two_means[parity_2];",
        "assign means[l]      = two_means[0];",
    ),
    Fault(
        "softmax does not wait for its scores",
        "vector_unit.sv",
        "array_done >= step.need_array",
        "(array_done >= step.need_array || step.kind == SOFTMAX)",
    ),
    Fault(
        "LayerNorm begins before its deviations", "vector_unit.sv", ".CYCLES(NORM_LEAD)) u_lead", ".CYCLES(1)) u_lead"
    ),
    Fault(
        "softmax's period shorter than its quotients",
        "vector_unit.sv",
        "softmax_words < PERIOD_BITS'(L) ? PERIOD_BITS'(L) : softmax_words",
        "softmax_words",
    ),
    Fault(
        "keys of a partly empty group all there",
        "vector_unit.sv",
        "key_group == groups - 1'b1 ? last_lanes : LANE_COUNT_BITS'(L)",
        "LANE_COUNT_BITS'(L)",
    ),
    Fault(
        "sum of exponentials misses the first word",
        "vector_unit.sv",
        "(word_softmax.first ? '0 : sum[l]) + more",
        "word_softmax.first ? '0 : sum[l] + more",
    ),
    Fault(
        "quotient's shift one off", "vector_unit.sv", "step.shift - 6'd16 + 6'(bits)", "step.shift - 6'd15 + 6'(bits)"
    ),
    Fault(
        "embeddings of all columns in one",
        "vector_unit.sv",
        "scaled_by(32'(load_column), GROUPS)",
        "scaled_by(32'(load_column & ~COLUMN_COUNT_BITS'(1)), GROUPS)",
    ),
    Fault(
        "a wrong frame passes",
        "vector_unit.sv",
        "framing_error <= beat && s_last != load_last;",
        "framing_error <= 1'b0;",
    ),
    Fault("last layer to the stream without room", "vector_unit.sv", " && (!step.to_stream || result_room)", ""),
    Fault(
        "only the first sentence's last result ends it",
        "vector_unit.sv",
        "word_norm.last && step.run_last",
        "word_norm.last",
    ),
    Fault(
        "second sentence does not wait for the array",
        "vector_walker.sv",
        "found.need_array + array_base",
        "found.need_array",
    ),
    Fault(
        "one sentence too few",
        "vector_walker.sv",
        "present      <= repeats_left != 1;",
        "present      <= repeats_left > 2;",
    ),
    Fault("array does not wait for the vector unit", "encoder_memories.sv", "vector_done >= need_vector && ", ""),
    Fault("array does not wait for its own results", "encoder_memories.sv", " && array_done >= need_array", ""),
    Fault(
        "a step counts as ended before its results are there",
        "encoder_memories.sv",
        ".CYCLES(RESULT_STAGES)) u_ended",
        ".CYCLES(1)) u_ended",
    ),
    Fault("operands from the state only", "encoder_memories.sv", "from_work ? work_word : state_word", "state_word"),
    Fault(
        "features that do not exist are written",
        "encoder_memories.sv",
        "result_what.kind == MATMUL ? result_place.valid : result_what.valid",
        "1'b1",
    ),
    Fault("residual of another feature", "encoder_memories.sv", "residual_parts[residual_sub]", "residual_parts[0]"),
    Fault(
        "quotients of both heads in one place",
        "encoder_memories.sv",
        "{quotient_buffer, quotient_group}",
        "{1'b0, quotient_group}",
    ),
    Fault("keys of another token", "head_block.sv", "keys[j] = key_word[c][j*R+r];", "keys[j] = key_word[c][0];"),
    Fault(
        "features beyond a head not cleared", "head_block.sv", "place.last && c >= LAST_HEAD_FEATURES ? 8'd0 : ", ""
    ),
    Fault(
        "values where keys belong",
        "head_block.sv",
        "values ? features[place.lane]\n",
        "!values ? features[place.lane]\n",
    ),
    Fault(
        "scores' order of blocks that of the context",
        "sequencer.sv",
        "lane: STATIONARY_LANE_BITS'(read_kind == SCORES ? middle : inner)",
        "lane: STATIONARY_LANE_BITS'(inner)",
    ),
    Fault(
        "parts of a head's last block row all wanted",
        "sequencer.sv",
        "if (now.kind == CONTEXT && head_row_last) drain_parts",
        "if (1'b0) drain_parts",
    ),
    Fault(
        "keys beyond the last kept",
        "sequencer.sv",
        "if (now.kind == SCORES && key_group_last) drain_parts",
        "if (1'b0) drain_parts",
    ),
    Fault("heads' buffers not told apart", "sequencer.sv", "head_buffer: now.head_buffer,", "head_buffer: 1'b0,"),
    Fault("gains do not move on", "sequencer.sv", "gain      <= gain + GAIN_ADDRESS_BITS'(Q);", "gain      <= gain;"),
    Fault(
        "second sentence's steps wait for the first's only",
        "job_walker.sv",
        "job.need_vector + vector_base",
        "job.need_vector",
    ),
    Fault("scores cut to eight bits", "engine_core.sv", ".wide(kind_2 == SCORES)", ".wide(1'b0)"),
    Fault("quotient's shift from the channel", "engine_core.sv", "kind_2 == CONTEXT ? quotients[l][21:16] : ", ""),
)
"""Of what an encoder needs besides."""

FAULTS = (*ENGINE_FAULTS, *ENCODER_FAULTS)

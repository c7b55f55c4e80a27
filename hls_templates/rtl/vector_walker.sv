// The steps of the vector unit in one run, in order: the whole program once for every sentence.
module vector_walker
  import engine_pkg::*;
(
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   start,
    input  logic [REPEAT_BITS-1:0] repeats,
    output logic                   step_valid,
    input  logic                   step_done,
    output vector_step_t           step
);
  logic [VECTOR_STEP_BITS-1:0] number;
  logic [REPEAT_BITS-1:0] repeats_left;
  logic [COUNT_BITS-1:0] array_base;
  logic present, last;
  vector_step_t found;
  always_comb begin
    found            = vector_step(number);
    found.run_last   = repeats_left == 1;
    found.need_array = found.need_array + array_base;
  end
  assign last = number == VECTOR_STEP_BITS'(VECTOR_STEPS - 1);

  // The table's row is registered: a step is there one cycle after its number.
  always_ff @(posedge clk) begin
    step       <= found;
    step_valid <= present && !step_done && !reset;
    if (start) begin
      present      <= 1'b1;
      number       <= '0;
      repeats_left <= repeats;
      array_base   <= '0;
    end else if (step_done) begin
      number <= last ? '0 : number + 1'b1;
      if (last) begin
        repeats_left <= repeats_left - 1'b1;
        array_base   <= array_base + COUNT_BITS'(LAYERS);
        present      <= repeats_left != 1;
      end
    end
    if (reset) present <= 1'b0;
  end
endmodule

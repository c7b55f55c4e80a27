// The jobs of one run, in order: `layers` matrices from the first on, the whole sequence `repeats` times.
module job_walker
  import engine_pkg::*;
(
    input  logic                   clk,
    input  logic                   reset,
    input  logic                   start,
    input  logic [LAYER_BITS-1:0]  first,
    input  logic [LAYER_BITS:0]    layers,
    input  logic [REPEAT_BITS-1:0] repeats,
    output logic                   job_valid,
    input  logic                   job_ready,
    output job_t                   job,
    output logic                   last  // of the run
);
  logic [LAYER_BITS-1:0] job_layer;
  logic [LAYER_BITS:0] layers_left;
  logic [REPEAT_BITS-1:0] repeats_left;

  // Of all sentences so far, the steps that come before this one's.
  logic [COUNT_BITS-1:0] vector_base, array_base;
  assign last = layers_left == 1 && repeats_left == 1;
  always_comb begin
    job             = layer_job(job_layer);
    job.run_last    = last;
    job.need_vector = VECTOR != 0 ? job.need_vector + vector_base : '0;
    job.need_array  = VECTOR != 0 ? job.need_array + array_base : '0;
  end

  always_ff @(posedge clk) begin
    if (start) begin
      job_valid    <= 1'b1;
      job_layer    <= first;
      layers_left  <= layers;
      repeats_left <= repeats;
      vector_base  <= '0;
      array_base   <= '0;
    end else if (job_valid && job_ready) begin
      job_layer   <= job_layer + 1'b1;
      layers_left <= layers_left - 1'b1;
      if (layers_left == 1) begin
        job_layer    <= first;
        layers_left  <= layers;
        repeats_left <= repeats_left - 1'b1;
        vector_base  <= vector_base + COUNT_BITS'(VECTOR_STEPS);
        array_base   <= array_base + COUNT_BITS'(LAYERS);
        job_valid    <= repeats_left != 1;
      end
    end
    if (reset) job_valid <= 1'b0;
  end
endmodule

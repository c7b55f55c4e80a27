// ⌊√radicand⌋ of 32 bits: 16 bits, one digit per stage, in ROOT_STAGES cycles; a new root may begin in every cycle.
module square_root
  import engine_pkg::*;
#(
    parameter int TAG_BITS = 1
) (
    input  logic                clk,
    input  logic                reset,
    input  logic                valid,
    input  logic [31:0]         radicand,
    input  logic [TAG_BITS-1:0] tag,
    output logic                done,
    output logic [15:0]         root,
    output logic [TAG_BITS-1:0] done_tag
);
  logic [ROOT_STAGES:0] valids;
  logic [ROOT_STAGES:0][31:0] digits;  // of the radicand, still to come
  logic [ROOT_STAGES:0][17:0] left;
  logic [ROOT_STAGES:0][15:0] roots;
  logic [ROOT_STAGES:0][TAG_BITS-1:0] tags;
  assign valids[0] = valid;
  assign digits[0] = radicand;
  assign left[0]   = '0;
  assign roots[0]  = '0;
  assign tags[0]   = tag;
  logic enable;
  in_flight #(.STAGES(ROOT_STAGES)) u_in_flight (.clk, .valid, .enable);
  for (genvar i = 0; i < ROOT_STAGES; i++) begin : g_digit
    logic [19:0] next, trial;
    logic fits;
    assign next  = {left[i], digits[i][31:30]};
    assign trial = {2'b00, roots[i], 2'b01};
    assign fits  = next >= trial;
    always_ff @(posedge clk) begin
      valids[i+1] <= valids[i] && !reset;
      if (enable) begin
        digits[i+1] <= digits[i] << 2;
        left[i+1]   <= 18'(fits ? next - trial : next);
        roots[i+1]  <= {roots[i][14:0], fits};
        tags[i+1]   <= tags[i];
      end
    end
  end
  assign done     = valids[ROOT_STAGES];
  assign root     = roots[ROOT_STAGES];
  assign done_tag = tags[ROOT_STAGES];
  logic unused;
  assign unused = &{1'b0, left[ROOT_STAGES], digits[ROOT_STAGES]};
endmodule

// A memory with one write and one read port. The word of an address comes one cycle later (two with REGISTERED); a word
// that is being written at the same time is not seen yet.
module ram #(
    parameter int WIDTH      = 8,
    parameter int DEPTH      = 2,
    parameter bit REGISTERED = 1'b0,
    /* verilator lint_off UNUSEDPARAM */  // synthesis reads it as an attribute, simulation does not
    parameter     STYLE      = "auto",  // auto, block, distributed or ultra
    /* verilator lint_on UNUSEDPARAM */
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                    clk,
    input  logic                    write,
    input  logic [ADDRESS_BITS-1:0] write_address,
    input  logic [WIDTH-1:0]        write_data,
    input  logic [ADDRESS_BITS-1:0] read_address,
    output logic [WIDTH-1:0]        read_data
);
  (* ram_style = STYLE *) logic [WIDTH-1:0] memory[DEPTH];
  logic [WIDTH-1:0] word;
  always_ff @(posedge clk) begin
    if (write) memory[write_address] <= write_data;
    word <= memory[read_address];
  end
  if (REGISTERED) begin : g_registered
    always_ff @(posedge clk) read_data <= word;
  end else begin : g_direct
    assign read_data = word;
  end
endmodule

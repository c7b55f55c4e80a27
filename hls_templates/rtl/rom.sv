// A read-only memory from a .mem file, with an output register: the word of an address comes two cycles later.
module rom #(
    parameter int WIDTH = 8,
    parameter int DEPTH = 2,
    parameter     FILE  = "",
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                    clk,
    input  logic [ADDRESS_BITS-1:0] address,
    output logic [WIDTH-1:0]        data
);
  (* rom_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
  logic [WIDTH-1:0] word;
  initial if (FILE != "") $readmemh(FILE, memory);
  always_ff @(posedge clk) begin
    word <= memory[address];
    data <= word;
  end
endmodule

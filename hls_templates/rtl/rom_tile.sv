// One array of a read-only memory, from a .mem file: the word of an address comes one cycle later.
module rom_tile #(
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
  initial $readmemh(FILE, memory);
  always_ff @(posedge clk) data <= memory[address];
endmodule

// A memory that fits one primitive; its shape says which: up to 64 words deep distributed RAM, 72 × 4096 URAM, else
// block RAM. FULL_WIDTH is the primitive's width, of which a tile at the edge uses a part. The word of an address comes
// one cycle later.
module ram_tile #(
    parameter int WIDTH      = 8,
    parameter int DEPTH      = 2,
    parameter int FULL_WIDTH = WIDTH,
    localparam int ADDRESS_BITS = DEPTH > 1 ? $clog2(DEPTH) : 1
) (
    input  logic                    clk,
    input  logic                    write,
    input  logic [ADDRESS_BITS-1:0] write_address,
    input  logic [WIDTH-1:0]        write_data,
    input  logic [ADDRESS_BITS-1:0] read_address,
    output logic [WIDTH-1:0]        read_data
);
  if (DEPTH <= 64) begin : g_distributed
    (* ram_style = "distributed" *) logic [WIDTH-1:0] memory[DEPTH];
    always_ff @(posedge clk) begin
      if (write) memory[write_address] <= write_data;
      read_data <= memory[read_address];
    end
  end else if (FULL_WIDTH == 72 && DEPTH == 4096) begin : g_ultra
    (* ram_style = "ultra" *) logic [WIDTH-1:0] memory[DEPTH];
    always_ff @(posedge clk) begin
      if (write) memory[write_address] <= write_data;
      read_data <= memory[read_address];
    end
  end else begin : g_block
    (* ram_style = "block" *) logic [WIDTH-1:0] memory[DEPTH];
    always_ff @(posedge clk) begin
      if (write) memory[write_address] <= write_data;
      read_data <= memory[read_address];
    end
  end
endmodule

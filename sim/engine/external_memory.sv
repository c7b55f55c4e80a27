// External memory behind one AXI read port: bursts are answered in order, the first beat no earlier than `latency` cycles
// after its request, with pauses at random. Beats come at most at the rate grow / cost per cycle: the port's credit grows
// by `grow` in every cycle, a beat takes `cost` of it, and what stays unused is saved up to less than two beats.
module external_memory
  import engine_pkg::*;
#(
    parameter int PORT  = 0,
    parameter int BEATS = 1
) (
    input  logic                clk,
    input  logic                reset_n,
    input  logic [31:0]         base,
    input  logic [15:0]         latency,
    input  logic [31:0]         grow,
    input  logic [31:0]         cost,  // below 2^31
    input  logic                pause_address,
    input  logic                pause_data,

    input  logic                s_arvalid,
    output logic                s_arready,
    input  logic [63:0]         s_araddr,
    input  logic [7:0]          s_arlen,
    output logic                s_rvalid,
    input  logic                s_rready,
    output logic [AXI_BITS-1:0] s_rdata,
    output logic [1:0]          s_rresp,
    output logic                s_rlast
);
  localparam int BytesBits = $clog2(AXI_BITS / 8);
  localparam int Bursts = 64;
  logic [PORTS*AXI_BITS-1:0] content[BEATS];
  initial $readmemh("external.mem", content);

  typedef struct packed {
    logic [31:0] place;
    logic [8:0]  beats;
    logic [31:0] ready;
  } burst_t;
  burst_t bursts[Bursts];
  logic [5:0] head, tail;
  logic [6:0] waiting;
  logic [8:0] beat;
  logic [32:0] credit, grown;
  logic [31:0] now;
  logic asked, given;
  logic [31:0] first, last;

  assign first     = (32'(s_araddr) - base) >> BytesBits;
  assign last      = first + 32'(s_arlen);
  assign s_arready = waiting < 7'(Bursts) && !pause_address;
  assign asked     = s_arvalid && s_arready;
  assign s_rvalid  = waiting != 0 && now >= bursts[head].ready && credit >= 33'(cost) && !pause_data;
  assign given     = s_rvalid && s_rready;
  assign grown     = credit - (given ? 33'(cost) : '0) + 33'(grow);
  assign s_rdata   = content[bursts[head].place+32'(beat)][PORT*AXI_BITS +: AXI_BITS];
  assign s_rresp   = 2'b00;
  assign s_rlast   = beat == bursts[head].beats - 1'b1;

  always_ff @(posedge clk) begin
    now    <= now + 1;
    credit <= grown < {cost, 1'b0} ? grown : {cost, 1'b0} - 1'b1;
    if (asked && reset_n) begin
      bursts[tail] <= '{place: first, beats: 9'(s_arlen) + 1'b1, ready: now + 32'(latency)};
      tail         <= tail + 1'b1;
      // A burst stays within 4 KiB, and within what there is.
      assert ((s_araddr >> 12) == ((s_araddr + (64'(s_arlen) << BytesBits)) >> 12)) else $error("burst across 4 KiB");
      assert (last < BEATS) else $error("burst beyond the image");
    end
    if (given) beat <= s_rlast ? '0 : beat + 1'b1;
    if (given && s_rlast) head <= head + 1'b1;
    waiting <= waiting + 7'(asked) - 7'(given && s_rlast);
    if (!reset_n) begin
      head    <= '0;
      tail    <= '0;
      waiting <= '0;
      beat    <= '0;
      credit  <= {cost, 1'b0} - 1'b1;
      now     <= '0;
    end
  end
endmodule

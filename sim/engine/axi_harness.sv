// The engine with every port under the name that AXI models look for, external memory on one port.
module axi_harness
  import engine_pkg::*;
(
    input  logic                   clk,
    input  logic                   reset_n,
    output logic                   irq,

    input  logic                   s_axil_awvalid,
    output logic                   s_axil_awready,
    input  logic [7:0]             s_axil_awaddr,
    input  logic [2:0]             s_axil_awprot,
    input  logic                   s_axil_wvalid,
    output logic                   s_axil_wready,
    input  logic [31:0]            s_axil_wdata,
    input  logic [3:0]             s_axil_wstrb,
    output logic                   s_axil_bvalid,
    input  logic                   s_axil_bready,
    output logic [1:0]             s_axil_bresp,
    input  logic                   s_axil_arvalid,
    output logic                   s_axil_arready,
    input  logic [7:0]             s_axil_araddr,
    input  logic [2:0]             s_axil_arprot,
    output logic                   s_axil_rvalid,
    input  logic                   s_axil_rready,
    output logic [31:0]            s_axil_rdata,
    output logic [1:0]             s_axil_rresp,

    output logic                   m_axi_arid,
    output logic                   m_axi_arvalid,
    input  logic                   m_axi_arready,
    output logic [63:0]            m_axi_araddr,
    output logic [7:0]             m_axi_arlen,
    output logic [2:0]             m_axi_arsize,
    output logic [1:0]             m_axi_arburst,
    input  logic                   m_axi_rid,
    input  logic                   m_axi_rvalid,
    output logic                   m_axi_rready,
    input  logic [AXI_BITS-1:0]    m_axi_rdata,
    input  logic [1:0]             m_axi_rresp,
    input  logic                   m_axi_rlast,

    input  logic                   s_axis_tvalid,
    output logic                   s_axis_tready,
    input  logic [STREAM_BITS-1:0] s_axis_tdata,
    input  logic                   s_axis_tlast,
    output logic                   m_axis_tvalid,
    input  logic                   m_axis_tready,
    output logic [STREAM_BITS-1:0] m_axis_tdata,
    output logic                   m_axis_tlast
);
  if (PORTS != 1) begin : g_one_port_only
    $error("one port");
  end
  assign m_axi_arid = 1'b0;
  logic unused;
  assign unused = &{1'b0, m_axi_rid};
  engine u_engine (.*);
endmodule

"""How agents get and show tokens: the two surfaces of OAuth and what stands behind both."""

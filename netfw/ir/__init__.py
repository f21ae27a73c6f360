"""netfilter's vocabulary as frozen data: no text, no input or output."""

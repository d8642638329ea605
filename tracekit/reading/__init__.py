"""From the bytes of a trace to lazy, labelled arrays that read what is asked of them."""

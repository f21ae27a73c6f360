"""The life of a change on a host: rehearsed, applied, confirmed or taken back."""

//! Check points that wait in memory for their acknowledgements (`enablePopBufferMerge`).

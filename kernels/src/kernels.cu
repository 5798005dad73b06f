// All kernels, as one module.
#include "adamw/adamw.cu"
#include "attention/attention.cu"
#include "decision_transformer/block/positionwise.cu"
#include "decision_transformer/embedding/embedding.cu"
#include "decision_transformer/gather/gather.cu"
#include "layer_norm/layer_norm.cu"
#include "linear/linear.cu"
#include "loss/loss.cu"

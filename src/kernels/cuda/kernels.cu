// All kernels, as one module.
#include "../adamw/adamw.cu"
#include "../attention/attention.cu"
#include "../embedding/embedding.cu"
#include "../gather/gather.cu"
#include "../layer_norm/layer_norm.cu"
#include "../linear/linear.cu"
#include "../loss/loss.cu"

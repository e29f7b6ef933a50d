#pragma once

// Which of its variants CMSIS-NN is compiled in, as HELLO says it behind its name: nothing is that of the DSP extension.
#if defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1)
#define HIL_CMSIS_NN_VARIANT " (MVE)"
#elif defined(__ARM_FEATURE_DSP)
#define HIL_CMSIS_NN_VARIANT ""
#else
#define HIL_CMSIS_NN_VARIANT " (C)"
#endif

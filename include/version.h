/* Versions: ours, and the one of CRIU whose images, options and answers we give. */
#ifndef CKPT_VERSION_H
#define CKPT_VERSION_H

#define CKPT_VERSION "0.1"
#define CRIU_VERSION "4.2" /* CRIU's callers parse this from the first line of --version */

#endif

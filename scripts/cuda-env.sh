# Finds what CUDA code is built with, or fetches it, and exports it; to be sourced from the repository's root.
#
# Taken, in this order: the toolkit in $CUDA_HOME, the one that `nvcc` on the PATH belongs to, and NVIDIA's packages from
# PyPI (1.2 GB, once), which need neither a GPU nor a driver nor root.

say() { echo "cuda: $*" >&2; }
fail() { say "$*"; exit 1; }

# A compiler newer than the driver makes code that the driver refuses; 13.0 serves drivers from 580 on.
wheels='nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-cccl==13.0.85
nvidia-cuda-runtime==13.0.96 nvidia-cuda-nvrtc==13.0.88 nvidia-cublas==13.1.0.3 nvidia-curand==10.4.0.35'

toolkit=$PWD/target/cuda-toolkit

# Installs the wheels and arranges them as a toolkit is: bin, include, nvvm, lib64.
fetch_toolkit() {
    local stamp="$toolkit/complete"
    [[ $(cat "$stamp" 2>/dev/null) == "$wheels" ]] && return
    command -v python3 >/dev/null || fail "python3 is needed to fetch the CUDA compiler; or install a toolkit and set CUDA_HOME"
    say "fetching NVIDIA's compiler and libraries from PyPI into $toolkit (1.2 GB, once)"
    rm -rf "$toolkit"
    mkdir -p "$toolkit/lib64"
    python3 -m venv "$toolkit/venv" || fail "python3 cannot make a virtual environment (Debian: install python3-venv)"
    # shellcheck disable=SC2086 # one argument per package
    "$toolkit/venv/bin/pip" install --quiet --disable-pip-version-check $wheels || fail "pip could not install $wheels"
    local packages library
    packages=$(echo "$toolkit"/venv/lib/python3*/site-packages/nvidia/cu13)
    ln -s "$packages/bin" "$packages/include" "$packages/nvvm" "$toolkit/"
    for library in "$packages"/lib/*; do
        ln -s "$library" "$toolkit/lib64/"
        # The linker looks for names without a version.
        [[ $library == *.so.* ]] && ln -sf "$library" "$toolkit/lib64/$(basename "${library%%.so.*}").so"
    done
    echo "$wheels" >"$stamp"
}

# Makes a libcuda to link against, as toolkits have one: the real one comes with the driver. Every function of the stub
# answers CUDA_ERROR_NO_DEVICE, so with it on LD_LIBRARY_PATH a machine without a driver runs the program's error path.
make_stub() {
    local stubs="$toolkit/lib64/stubs" source
    [[ -e $stubs/libcuda.so.1 ]] && return
    say "making a stub of libcuda to link against"
    cargo fetch --locked --quiet
    source=$(cargo metadata --format-version 1 --locked --features hashlab/cuda |
        python3 -c 'import json, os, sys
print(*(os.path.dirname(p["manifest_path"]) for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
    [[ -d $source/src/driver/sys ]] || fail "the sources of the crate cudarc are not where they were expected: $source"
    mkdir -p "$stubs"
    grep -rhoE 'pub unsafe fn cu[A-Z]\w+' "$source/src/driver/sys" | awk '{print $4}' | sort -u |
        awk '{print "int " $1 "(void) { return 100; }"}' >"$stubs/libcuda.c"
    cc -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so.1" "$stubs/libcuda.c" || fail "cc could not make the stub"
    ln -sf libcuda.so.1 "$stubs/libcuda.so"
}

if [[ -n ${CUDA_HOME:-} ]]; then
    [[ -x $CUDA_HOME/bin/nvcc ]] || fail "there is no bin/nvcc in CUDA_HOME=$CUDA_HOME"
elif command -v nvcc >/dev/null; then
    CUDA_HOME=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
else
    fetch_toolkit
    make_stub
    CUDA_HOME=$toolkit
fi
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH"

# What the code is made for, as ten times the compute capability: that of the GPU here, else 8.0 (Ampere), which later
# ones run as well.
if [[ -z ${CUDA_COMPUTE_CAP:-} ]]; then
    CUDA_COMPUTE_CAP=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | sort -n | head -1 | tr -d .) || true
    export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
fi

# The program looks for the libraries where they were when it was built, unless LD_LIBRARY_PATH names another place.
export RUSTFLAGS="${RUSTFLAGS:-} -L native=$CUDA_HOME/lib64/stubs -C link-arg=-Wl,-rpath,$CUDA_HOME/lib64"

# Apart from the other builds, which have other flags and whose program it would replace.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/cuda}
say "compiler $CUDA_HOME/bin/nvcc, compute capability ${CUDA_COMPUTE_CAP}, building in $CARGO_TARGET_DIR"

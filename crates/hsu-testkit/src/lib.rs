//! The workbench: hsu-dummy, a worker that misbehaves on request, and helpers of the black-box tests.

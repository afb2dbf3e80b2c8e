"""What graphs consist of: the operators that rules may use and files may hold."""

OPSET = 18  # of ONNX; ONNX Runtime has it since 1.14
# The oldest format of files that has this opset: what old runtimes open, too.
IR_VERSION = 8
# Pure functions of tensors. None reads a file, draws a number, calls another
# function or repeats until something happens; Scan ends with what it goes over.
OPERATORS = frozenset({
  'Abs', 'Add', 'And', 'ArgMax', 'Cast', 'Ceil', 'Concat', 'Conv', 'Div',
  'Einsum', 'Equal', 'Erf', 'Exp', 'Expand', 'Floor', 'Gather', 'Greater',
  'GreaterOrEqual', 'Identity', 'IsInf', 'IsNaN', 'Less', 'LessOrEqual', 'Log',
  'MatMul', 'Max', 'Min', 'Mul', 'Neg', 'Not', 'Or', 'PRelu', 'Pad', 'Pow',
  'Reciprocal', 'ReduceMax', 'ReduceMin', 'ReduceSum', 'Reshape', 'Round',
  'Scan', 'Shape', 'Sigmoid', 'Sign', 'Slice', 'Split', 'Sqrt', 'Sub', 'Tanh',
  'Transpose', 'Where',
})  # fmt: skip

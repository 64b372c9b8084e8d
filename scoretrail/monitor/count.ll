; Counts a column of floats in one pass: how many are NaN, infinite, and above each edge; the least and greatest.
;
; $T is the type of values and edges (float or double), $L the number of values that are looked at together.

declare i$L @llvm.ctpop.i$L(i$L)
declare <$L x $T> @llvm.masked.load.v${L}${S}.p0(ptr, i32, <$L x i1>, <$L x $T>)
declare $T @llvm.vector.reduce.fmin.v${L}${S}(<$L x $T>)
declare $T @llvm.vector.reduce.fmax.v${L}${S}(<$L x $T>)

; counts: 3 + n_edges numbers, which are added to: NaN, +infinity, -infinity, and what is above each edge, +infinity
; too; ends: the least and the greatest finite value, or +infinity and -infinity where there is none.
define void @count(ptr %values, i64 %n, ptr %edges, i64 %n_edges, ptr noalias %counts, ptr noalias %ends) {
entry:
  %high.1 = insertelement <$L x $T> poison, $T 0x7FF0000000000000, i32 0
  %infinity = shufflevector <$L x $T> %high.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %minus = fneg <$L x $T> %infinity
  %nan.1 = insertelement <$L x $T> poison, $T 0x7FF8000000000000, i32 0
  %nan = shufflevector <$L x $T> %nan.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %above = getelementptr i64, ptr %counts, i64 3
  %any = icmp ne i64 %n_edges, 0
  br label %strip

strip:
  %at = phi i64 [ 0, %entry ], [ %at.next, %strip.end ]
  %low = phi <$L x $T> [ %infinity, %entry ], [ %low.next, %strip.end ]
  %high = phi <$L x $T> [ %minus, %entry ], [ %high.next, %strip.end ]
  %nans = phi i64 [ 0, %entry ], [ %nans.next, %strip.end ]
  %ups = phi i64 [ 0, %entry ], [ %ups.next, %strip.end ]
  %downs = phi i64 [ 0, %entry ], [ %downs.next, %strip.end ]
  %left = sub i64 %n, %at
  %is_full = icmp ugt i64 %left, $L
  %count = select i1 %is_full, i64 $L, i64 %left
  %count32 = trunc i64 %count to i32
  %count.1 = insertelement <$L x i32> poison, i32 %count32, i32 0
  %count.all = shufflevector <$L x i32> %count.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %here = icmp ult <$L x i32> <$LANES>, %count.all
  %from = getelementptr $T, ptr %values, i64 %at
  ; Beyond the end there is NaN, which is above nothing and no number; it is not counted.
  %x = call <$L x $T> @llvm.masked.load.v${L}${S}.p0(ptr %from, i32 $A, <$L x i1> %here, <$L x $T> %nan)
  %is_nan.any = fcmp uno <$L x $T> %x, %x
  %is_nan = and <$L x i1> %is_nan.any, %here
  %nan.bits = bitcast <$L x i1> %is_nan to i$L
  %nan.n = call i$L @llvm.ctpop.i$L(i$L %nan.bits)
  %nan.64 = $TO_64 i$L %nan.n to i64
  %nans.next = add i64 %nans, %nan.64
  %is_up = fcmp oeq <$L x $T> %x, %infinity
  %up.bits = bitcast <$L x i1> %is_up to i$L
  %up.n = call i$L @llvm.ctpop.i$L(i$L %up.bits)
  %up.64 = $TO_64 i$L %up.n to i64
  %ups.next = add i64 %ups, %up.64
  %is_down = fcmp oeq <$L x $T> %x, %minus
  %down.bits = bitcast <$L x i1> %is_down to i$L
  %down.n = call i$L @llvm.ctpop.i$L(i$L %down.bits)
  %down.64 = $TO_64 i$L %down.n to i64
  %downs.next = add i64 %downs, %down.64
  ; The greatest finite number above -infinity is no infinity, and NaN fails both comparisons.
  %below.up = fcmp olt <$L x $T> %x, %infinity
  %above.down = fcmp ogt <$L x $T> %x, %minus
  %is_less = fcmp olt <$L x $T> %x, %low
  %lowers = and <$L x i1> %is_less, %above.down
  %low.next = select <$L x i1> %lowers, <$L x $T> %x, <$L x $T> %low
  %is_more = fcmp ogt <$L x $T> %x, %high
  %raises = and <$L x i1> %is_more, %below.up
  %high.next = select <$L x i1> %raises, <$L x $T> %x, <$L x $T> %high
  br i1 %any, label %edge, label %strip.end

edge:
  %j = phi i64 [ 0, %strip ], [ %j.next, %edge ]
  %edge.at = getelementptr $T, ptr %edges, i64 %j
  %edge.j = load $T, ptr %edge.at
  %edge.1 = insertelement <$L x $T> poison, $T %edge.j, i32 0
  %edge.all = shufflevector <$L x $T> %edge.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %is_above = fcmp ogt <$L x $T> %x, %edge.all
  %bits = bitcast <$L x i1> %is_above to i$L
  %ones = call i$L @llvm.ctpop.i$L(i$L %bits)
  %ones.64 = $TO_64 i$L %ones to i64
  %above.at = getelementptr i64, ptr %above, i64 %j
  %before = load i64, ptr %above.at
  %after = add i64 %before, %ones.64
  store i64 %after, ptr %above.at
  %j.next = add i64 %j, 1
  %j.more = icmp ult i64 %j.next, %n_edges
  br i1 %j.more, label %edge, label %strip.end

strip.end:
  %at.next = add i64 %at, $L
  %more = icmp ult i64 %at.next, %n
  br i1 %more, label %strip, label %done

done:
  %counts.up = getelementptr i64, ptr %counts, i64 1
  %counts.down = getelementptr i64, ptr %counts, i64 2
  store i64 %nans.next, ptr %counts
  store i64 %ups.next, ptr %counts.up
  store i64 %downs.next, ptr %counts.down
  %least = call $T @llvm.vector.reduce.fmin.v${L}${S}(<$L x $T> %low.next)
  %greatest = call $T @llvm.vector.reduce.fmax.v${L}${S}(<$L x $T> %high.next)
  store $T %least, ptr %ends
  %ends.1 = getelementptr $T, ptr %ends, i64 1
  store $T %greatest, ptr %ends.1
  ret void
}

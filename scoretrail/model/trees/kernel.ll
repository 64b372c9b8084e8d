; The tree kernel, in LLVM's own language: docs/explanation/trees.md tells how it works.
;
; $T is the type of features, thresholds and leaf values (float or double), $O that of scores, $L the number of rows that
; one pass of @strips scores together, $G the number of entries that @rows looks at together. A model is a table of
; 64-bit slots, numbers and addresses, in the order of Layout.slots and Ending.slots in scoretrail.model.trees; nothing
; here checks a bound, they have done it.
;
; Arithmetic has no fast-math flag: LLVM may neither reorder nor contract it.

declare <$L x i32> @llvm.cttz.v${L}i32(<$L x i32>, i1)
declare i32 @llvm.cttz.i32(i32, i1)
declare <$L x $T> @llvm.masked.gather.v${L}${S}.v${L}p0(<$L x ptr>, i32, <$L x i1>, <$L x $T>)
declare <$G x $T> @llvm.masked.gather.v${G}${S}.v${G}p0(<$G x ptr>, i32, <$G x i1>, <$G x $T>)
declare i32 @llvm.vector.reduce.and.v${G}i32(<$G x i32>)
declare float @llvm.fabs.f32(float)
declare float @expf(float)

; Scores n_rows rows, $L at a time. columns: an address per feature; out: n_rows x n_targets;
; work: (n_columns + n_targets) x $L.
define void @strips(ptr %model, ptr %columns, i64 %n_rows, ptr noalias %out, ptr noalias %work) {
entry:
  br label %strip
strip:
  %start = phi i64 [ 0, %entry ], [ %stop, %strip ]
  %stop = add i64 %start, $L
  %left = sub i64 %n_rows, %start
  %full = icmp ugt i64 %left, $L
  %count = select i1 %full, i64 $L, i64 %left
  call void @fill_strip(ptr %model, ptr %columns, i64 %start, i64 %count, ptr %work)
  call void @trees_strip(ptr %model, ptr %work)
  call void @finish_strip(ptr %model, ptr %out, i64 %start, i64 %count, ptr %work)
  %more = icmp ult i64 %stop, %n_rows
  br i1 %more, label %strip, label %done
done:
  ret void
}

; Copies what the trees look at: a feature as it is, negated, or with -infinity for NaN.
define internal void @fill_strip(ptr %model, ptr %columns, i64 %start, i64 %count, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %source_at = getelementptr i64, ptr %model, i64 3
  %source = load ptr, ptr %source_at
  %kind_at = getelementptr i64, ptr %model, i64 4
  %kind = load ptr, ptr %kind_at
  %full = icmp eq i64 %count, $L
  %low.1 = insertelement <$L x $T> poison, $T 0xFFF0000000000000, i32 0
  %low = shufflevector <$L x $T> %low.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %any = icmp ne i64 %n_columns, 0
  br i1 %any, label %column, label %done
column:
  %c = phi i64 [ 0, %entry ], [ %c.next, %store ]
  %feature_at = getelementptr i32, ptr %source, i64 %c
  %feature = load i32, ptr %feature_at
  %pointer_at = getelementptr ptr, ptr %columns, i32 %feature
  %pointer = load ptr, ptr %pointer_at
  %from = getelementptr $T, ptr %pointer, i64 %start
  %offset = mul i64 %c, $L
  %to = getelementptr $T, ptr %work, i64 %offset
  br i1 %full, label %whole, label %part
part:
  %i = phi i64 [ 0, %column ], [ %i.next, %part ]
  %one_at = getelementptr $T, ptr %from, i64 %i
  %one = load $T, ptr %one_at
  %place = getelementptr $T, ptr %to, i64 %i
  store $T %one, ptr %place
  %i.next = add i64 %i, 1
  %i.more = icmp ult i64 %i.next, %count
  br i1 %i.more, label %part, label %whole
whole:
  %at = phi ptr [ %from, %column ], [ %to, %part ]
  %x = load <$L x $T>, ptr %at, align $A
  %k_at = getelementptr i32, ptr %kind, i64 %c
  %k = load i32, ptr %k_at
  %k.negate = and i32 %k, 1
  %negates = icmp ne i32 %k.negate, 0
  %negated = fneg <$L x $T> %x
  %signed = select i1 %negates, <$L x $T> %negated, <$L x $T> %x
  %k.low = and i32 %k, 2
  %lowers = icmp ne i32 %k.low, 0
  br i1 %lowers, label %lower, label %store
lower:
  %ordered = fcmp ord <$L x $T> %signed, %signed
  %lowered = select <$L x i1> %ordered, <$L x $T> %signed, <$L x $T> %low
  br label %store
store:
  %value = phi <$L x $T> [ %signed, %whole ], [ %lowered, %lower ]
  store <$L x $T> %value, ptr %to, align $A
  %c.next = add i64 %c, 1
  %c.more = icmp ult i64 %c.next, %n_columns
  br i1 %c.more, label %column, label %done
done:
  ret void
}

; Adds every tree, in order, to the sums behind the columns in work.
define internal void @trees_strip(ptr %model, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %n_trees_at = getelementptr i64, ptr %model, i64 1
  %n_trees = load i64, ptr %n_trees_at
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %entry_column_at = getelementptr i64, ptr %model, i64 5
  %entry_column = load ptr, ptr %entry_column_at
  %entry_threshold_at = getelementptr i64, ptr %model, i64 6
  %entry_threshold = load ptr, ptr %entry_threshold_at
  %entry_mask_at = getelementptr i64, ptr %model, i64 7
  %entry_mask = load ptr, ptr %entry_mask_at
  %group_end_at = getelementptr i64, ptr %model, i64 8
  %group_end = load ptr, ptr %group_end_at
  %group_leaf_at = getelementptr i64, ptr %model, i64 9
  %group_leaf = load ptr, ptr %group_leaf_at
  %tree_end_at = getelementptr i64, ptr %model, i64 10
  %tree_end = load ptr, ptr %tree_end_at
  %tree_value_at = getelementptr i64, ptr %model, i64 11
  %tree_value = load ptr, ptr %tree_value_at
  %tree_target_at = getelementptr i64, ptr %model, i64 12
  %tree_target = load ptr, ptr %tree_target_at
  %tree_width_at = getelementptr i64, ptr %model, i64 13
  %tree_width = load ptr, ptr %tree_width_at
  %values_at = getelementptr i64, ptr %model, i64 14
  %values = load ptr, ptr %values_at
  %sums_offset = mul i64 %n_columns, $L
  %sums = getelementptr $T, ptr %work, i64 %sums_offset
  %first.1 = insertelement <$L x $T> poison, $T $FIRST, i32 0
  %first = shufflevector <$L x $T> %first.1, <$L x $T> poison, <$L x i32> zeroinitializer
  br label %clear
clear:
  %s = phi i64 [ 0, %entry ], [ %s.next, %clear ]
  %s.offset = mul i64 %s, $L
  %s.at = getelementptr $T, ptr %sums, i64 %s.offset
  store <$L x $T> %first, ptr %s.at, align $A
  %s.next = add i64 %s, 1
  %s.more = icmp ult i64 %s.next, %n_targets
  br i1 %s.more, label %clear, label %tree

tree:
  %t = phi i64 [ 0, %clear ], [ %t.next, %tree.end ]
  %t.group = phi i64 [ 0, %clear ], [ %g.next, %tree.end ]
  %t.entry = phi i64 [ 0, %clear ], [ %g.stop, %tree.end ]
  %t.end_at = getelementptr i32, ptr %tree_end, i64 %t
  %t.end32 = load i32, ptr %t.end_at
  %t.end = zext i32 %t.end32 to i64
  br label %group

; A group is one word of 32 leaves. The last word comes first, so that the first leaf left stays.
group:
  %g = phi i64 [ %t.group, %tree ], [ %g.next, %group.end ]
  %g.start = phi i64 [ %t.entry, %tree ], [ %g.stop, %group.end ]
  %leaf = phi <$L x i32> [ zeroinitializer, %tree ], [ %leaf.next, %group.end ]
  %g.stop_at = getelementptr i32, ptr %group_end, i64 %g
  %g.stop32 = load i32, ptr %g.stop_at
  %g.stop = zext i32 %g.stop32 to i64
  %g.any = icmp ult i64 %g.start, %g.stop
  br i1 %g.any, label %node, label %group.end

; Clears the leaves of the left side where the row goes right: x > t, or NaN.
node:
  %e = phi i64 [ %g.start, %group ], [ %e.next, %node ]
  %word = phi <$L x i32> [ splat (i32 -1), %group ], [ %word.next, %node ]
  %column_at = getelementptr i32, ptr %entry_column, i64 %e
  %column = load i32, ptr %column_at
  %column64 = zext i32 %column to i64
  %x.offset = mul i64 %column64, $L
  %x.at = getelementptr $T, ptr %work, i64 %x.offset
  %x = load <$L x $T>, ptr %x.at, align $A
  %threshold_at = getelementptr $T, ptr %entry_threshold, i64 %e
  %threshold = load $T, ptr %threshold_at
  %threshold.1 = insertelement <$L x $T> poison, $T %threshold, i32 0
  %threshold.all = shufflevector <$L x $T> %threshold.1, <$L x $T> poison, <$L x i32> zeroinitializer
  %right = fcmp ugt <$L x $T> %x, %threshold.all
  %mask_at = getelementptr i32, ptr %entry_mask, i64 %e
  %mask = load i32, ptr %mask_at
  %mask.1 = insertelement <$L x i32> poison, i32 %mask, i32 0
  %mask.all = shufflevector <$L x i32> %mask.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %cleared = and <$L x i32> %word, %mask.all
  %word.next = select <$L x i1> %right, <$L x i32> %cleared, <$L x i32> %word
  %e.next = add i64 %e, 1
  %e.more = icmp ult i64 %e.next, %g.stop
  br i1 %e.more, label %node, label %group.end

group.end:
  %word.left = phi <$L x i32> [ splat (i32 -1), %group ], [ %word.next, %node ]
  %base_at = getelementptr i32, ptr %group_leaf, i64 %g
  %base = load i32, ptr %base_at
  %base.1 = insertelement <$L x i32> poison, i32 %base, i32 0
  %base.all = shufflevector <$L x i32> %base.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %lowest = call <$L x i32> @llvm.cttz.v${L}i32(<$L x i32> %word.left, i1 false)
  %here = add <$L x i32> %lowest, %base.all
  %found = icmp ne <$L x i32> %word.left, zeroinitializer
  %leaf.next = select <$L x i1> %found, <$L x i32> %here, <$L x i32> %leaf
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %t.end
  br i1 %g.more, label %group, label %leaves

leaves:
  %width_at = getelementptr i32, ptr %tree_width, i64 %t
  %width = load i32, ptr %width_at
  %width.1 = insertelement <$L x i32> poison, i32 %width, i32 0
  %width.all = shufflevector <$L x i32> %width.1, <$L x i32> poison, <$L x i32> zeroinitializer
  %place = mul <$L x i32> %leaf.next, %width.all
  %value_at = getelementptr i32, ptr %tree_value, i64 %t
  %value.first = load i32, ptr %value_at
  %value.first64 = zext i32 %value.first to i64
  %table = getelementptr $T, ptr %values, i64 %value.first64
  %target_at = getelementptr i32, ptr %tree_target, i64 %t
  %target = load i32, ptr %target_at
  br label %add
add:
  %k = phi i32 [ 0, %leaves ], [ %k.next, %add ]
  %k64 = zext i32 %k to i64
  %table.k = getelementptr $T, ptr %table, i64 %k64
  %from = getelementptr $T, ptr %table.k, <$L x i32> %place
  %v = call <$L x $T> @llvm.masked.gather.v${L}${S}.v${L}p0(<$L x ptr> %from, i32 $A, <$L x i1> splat (i1 true), <$L x $T> poison)
  %sum = add i32 %target, %k
  %sum64 = zext i32 %sum to i64
  %sum.offset = mul i64 %sum64, $L
  %sum.at = getelementptr $T, ptr %sums, i64 %sum.offset
  %before = load <$L x $T>, ptr %sum.at, align $A
  $COMBINE_STRIP
  store <$L x $T> %after, ptr %sum.at, align $A
  %k.next = add i32 %k, 1
  %k.more = icmp ult i32 %k.next, %width
  br i1 %k.more, label %add, label %tree.end
tree.end:
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %n_trees
  br i1 %t.more, label %tree, label %done
done:
  ret void
}

; Turns the sums of a strip into its scores.
define internal void @finish_strip(ptr %model, ptr %out, i64 %start, i64 %count, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %sums_offset = mul i64 %n_columns, $L
  %sums = getelementptr $T, ptr %work, i64 %sums_offset
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i.next, %row ]
  %from = getelementptr $T, ptr %sums, i64 %i
  %r = add i64 %start, %i
  %place = mul i64 %r, %n_targets
  %to = getelementptr $O, ptr %out, i64 %place
  call void @finish(ptr %model, ptr %from, i64 $L, ptr %to)
  %i.next = add i64 %i, 1
  %i.more = icmp ult i64 %i.next, %count
  br i1 %i.more, label %row, label %done
done:
  ret void
}

; Scores n_rows rows one by one, $G nodes of a tree at a time: for the few rows that would leave a strip empty.
; Same columns and out as @strips; work: n_columns + n_targets.
define void @rows(ptr %model, ptr %columns, i64 %n_rows, ptr noalias %out, ptr noalias %work) {
entry:
  br label %row
row:
  %r = phi i64 [ 0, %entry ], [ %r.next, %row ]
  call void @score_row(ptr %model, ptr %columns, i64 %n_rows, i64 %r, ptr %out, ptr %work)
  %r.next = add i64 %r, 1
  %r.more = icmp ult i64 %r.next, %n_rows
  br i1 %r.more, label %row, label %done
done:
  ret void
}

define internal void @score_row(ptr %model, ptr %columns, i64 %n_rows, i64 %r, ptr %out, ptr %work) noinline {
entry:
  %n_columns = load i64, ptr %model
  %n_trees_at = getelementptr i64, ptr %model, i64 1
  %n_trees = load i64, ptr %n_trees_at
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %source_at = getelementptr i64, ptr %model, i64 3
  %source = load ptr, ptr %source_at
  %kind_at = getelementptr i64, ptr %model, i64 4
  %kind = load ptr, ptr %kind_at
  %entry_column_at = getelementptr i64, ptr %model, i64 5
  %entry_column = load ptr, ptr %entry_column_at
  %entry_threshold_at = getelementptr i64, ptr %model, i64 6
  %entry_threshold = load ptr, ptr %entry_threshold_at
  %entry_mask_at = getelementptr i64, ptr %model, i64 7
  %entry_mask = load ptr, ptr %entry_mask_at
  %group_end_at = getelementptr i64, ptr %model, i64 8
  %group_end = load ptr, ptr %group_end_at
  %group_leaf_at = getelementptr i64, ptr %model, i64 9
  %group_leaf = load ptr, ptr %group_leaf_at
  %tree_end_at = getelementptr i64, ptr %model, i64 10
  %tree_end = load ptr, ptr %tree_end_at
  %tree_value_at = getelementptr i64, ptr %model, i64 11
  %tree_value = load ptr, ptr %tree_value_at
  %tree_target_at = getelementptr i64, ptr %model, i64 12
  %tree_target = load ptr, ptr %tree_target_at
  %tree_width_at = getelementptr i64, ptr %model, i64 13
  %tree_width = load ptr, ptr %tree_width_at
  %values_at = getelementptr i64, ptr %model, i64 14
  %values = load ptr, ptr %values_at
  %any = icmp ne i64 %n_columns, 0
  br i1 %any, label %fill, label %clear.first
fill:
  %c = phi i64 [ 0, %entry ], [ %c.next, %fill ]
  %feature_at = getelementptr i32, ptr %source, i64 %c
  %feature = load i32, ptr %feature_at
  %pointer_at = getelementptr ptr, ptr %columns, i32 %feature
  %pointer = load ptr, ptr %pointer_at
  %given_at = getelementptr $T, ptr %pointer, i64 %r
  %given = load $T, ptr %given_at
  %kind.c_at = getelementptr i32, ptr %kind, i64 %c
  %kind.c = load i32, ptr %kind.c_at
  %kind.negate = and i32 %kind.c, 1
  %negates = icmp ne i32 %kind.negate, 0
  %negated = fneg $T %given
  %signed = select i1 %negates, $T %negated, $T %given
  %kind.low = and i32 %kind.c, 2
  %lowers = icmp ne i32 %kind.low, 0
  %unordered = fcmp uno $T %signed, %signed
  %lowered = and i1 %lowers, %unordered
  %value = select i1 %lowered, $T 0xFFF0000000000000, $T %signed
  %fill.at = getelementptr $T, ptr %work, i64 %c
  store $T %value, ptr %fill.at
  %c.next = add i64 %c, 1
  %c.more = icmp ult i64 %c.next, %n_columns
  br i1 %c.more, label %fill, label %clear.first
clear.first:
  %sums = getelementptr $T, ptr %work, i64 %n_columns
  br label %clear
clear:
  %s = phi i64 [ 0, %clear.first ], [ %s.next, %clear ]
  %s.at = getelementptr $T, ptr %sums, i64 %s
  store $T $FIRST, ptr %s.at
  %s.next = add i64 %s, 1
  %s.more = icmp ult i64 %s.next, %n_targets
  br i1 %s.more, label %clear, label %tree

tree:
  %t = phi i64 [ 0, %clear ], [ %t.next, %tree.end ]
  %t.group = phi i64 [ 0, %clear ], [ %g.next, %tree.end ]
  %t.entry = phi i64 [ 0, %clear ], [ %g.stop, %tree.end ]
  %t.end_at = getelementptr i32, ptr %tree_end, i64 %t
  %t.end32 = load i32, ptr %t.end_at
  %t.end = zext i32 %t.end32 to i64
  br label %group
group:
  %g = phi i64 [ %t.group, %tree ], [ %g.next, %group.end ]
  %g.start = phi i64 [ %t.entry, %tree ], [ %g.stop, %group.end ]
  %leaf = phi i32 [ 0, %tree ], [ %leaf.next, %group.end ]
  %g.stop_at = getelementptr i32, ptr %group_end, i64 %g
  %g.stop32 = load i32, ptr %g.stop_at
  %g.stop = zext i32 %g.stop32 to i64
  %g.any = icmp ult i64 %g.start, %g.stop
  br i1 %g.any, label %nodes, label %group.end

; The last entries of a group are read together with the next group's, whose lanes then do not count.
nodes:
  %e = phi i64 [ %g.start, %group ], [ %e.next, %nodes ]
  %word = phi <$G x i32> [ splat (i32 -1), %group ], [ %word.next, %nodes ]
  %column_at = getelementptr i32, ptr %entry_column, i64 %e
  %column = load <$G x i32>, ptr %column_at, align 4
  %x.at = getelementptr $T, ptr %work, <$G x i32> %column
  %x = call <$G x $T> @llvm.masked.gather.v${G}${S}.v${G}p0(<$G x ptr> %x.at, i32 $A, <$G x i1> splat (i1 true), <$G x $T> poison)
  %threshold_at = getelementptr $T, ptr %entry_threshold, i64 %e
  %threshold = load <$G x $T>, ptr %threshold_at, align $A
  %right = fcmp ugt <$G x $T> %x, %threshold
  %e.left = sub i64 %g.stop, %e
  %e.left32 = trunc i64 %e.left to i32
  %left.1 = insertelement <$G x i32> poison, i32 %e.left32, i32 0
  %left.all = shufflevector <$G x i32> %left.1, <$G x i32> poison, <$G x i32> zeroinitializer
  %counts = icmp ult <$G x i32> <$LANES>, %left.all
  %clears = and <$G x i1> %right, %counts
  %mask_at = getelementptr i32, ptr %entry_mask, i64 %e
  %mask = load <$G x i32>, ptr %mask_at, align 4
  %cleared = and <$G x i32> %word, %mask
  %word.next = select <$G x i1> %clears, <$G x i32> %cleared, <$G x i32> %word
  %e.next = add i64 %e, $G
  %e.more = icmp ult i64 %e.next, %g.stop
  br i1 %e.more, label %nodes, label %group.end
group.end:
  %words = phi <$G x i32> [ splat (i32 -1), %group ], [ %word.next, %nodes ]
  %word.left = call i32 @llvm.vector.reduce.and.v${G}i32(<$G x i32> %words)
  %base_at = getelementptr i32, ptr %group_leaf, i64 %g
  %base = load i32, ptr %base_at
  %lowest = call i32 @llvm.cttz.i32(i32 %word.left, i1 false)
  %here = add i32 %lowest, %base
  %found = icmp ne i32 %word.left, 0
  %leaf.next = select i1 %found, i32 %here, i32 %leaf
  %g.next = add i64 %g, 1
  %g.more = icmp ult i64 %g.next, %t.end
  br i1 %g.more, label %group, label %leaves
leaves:
  %width_at = getelementptr i32, ptr %tree_width, i64 %t
  %width = load i32, ptr %width_at
  %place = mul i32 %leaf.next, %width
  %value_at = getelementptr i32, ptr %tree_value, i64 %t
  %value.first = load i32, ptr %value_at
  %value.place = add i32 %value.first, %place
  %target_at = getelementptr i32, ptr %tree_target, i64 %t
  %target = load i32, ptr %target_at
  br label %add
add:
  %k = phi i32 [ 0, %leaves ], [ %k.next, %add ]
  %v.place = add i32 %value.place, %k
  %v.place64 = zext i32 %v.place to i64
  %v.at = getelementptr $T, ptr %values, i64 %v.place64
  %v = load $T, ptr %v.at
  %sum = add i32 %target, %k
  %sum64 = zext i32 %sum to i64
  %sum.at = getelementptr $T, ptr %sums, i64 %sum64
  %before = load $T, ptr %sum.at
  $COMBINE_ROW
  store $T %after, ptr %sum.at
  %k.next = add i32 %k, 1
  %k.more = icmp ult i32 %k.next, %width
  br i1 %k.more, label %add, label %tree.end
tree.end:
  %t.next = add i64 %t, 1
  %t.more = icmp ult i64 %t.next, %n_trees
  br i1 %t.more, label %tree, label %give
give:
  %o.place = mul i64 %r, %n_targets
  %o.to = getelementptr $O, ptr %out, i64 %o.place
  call void @finish(ptr %model, ptr %sums, i64 1, ptr %o.to)
  ret void
}

; Turns the sums of a row into its scores, as ONNX Runtime does: of each target, a sum divided, with a base value, and
; itself, its negative, one less it, or 0; then the post-transform, which is in single precision.
; from: the row's first sum; step: from a target's sum to the next one's; to: the row's scores.
define internal void @finish(ptr %model, ptr %from, i64 %step, ptr %to) noinline {
entry:
  %n_targets_at = getelementptr i64, ptr %model, i64 2
  %n_targets = load i64, ptr %n_targets_at
  %transform_at = getelementptr i64, ptr %model, i64 15
  %transform = load i64, ptr %transform_at
  %divisor_at = getelementptr i64, ptr %model, i64 16
  %divisor.at = load ptr, ptr %divisor_at
  %divisor = load $T, ptr %divisor.at
  %source_at = getelementptr i64, ptr %model, i64 17
  %source = load ptr, ptr %source_at
  %base_at = getelementptr i64, ptr %model, i64 18
  %base = load ptr, ptr %base_at
  %change_at = getelementptr i64, ptr %model, i64 19
  %change = load ptr, ptr %change_at
  %is_plain = icmp eq i64 %transform, 0
  br label %target
target:
  %k = phi i64 [ 0, %entry ], [ %k.next, %target ]
  %highest = phi float [ 0xC7EFFFFFE0000000, %entry ], [ %highest.next, %target ]
  %source.k_at = getelementptr i32, ptr %source, i64 %k
  %source.k = load i32, ptr %source.k_at
  %source.k64 = zext i32 %source.k to i64
  %sum.place = mul i64 %source.k64, %step
  %sum.at = getelementptr $T, ptr %from, i64 %sum.place
  %sum = load $T, ptr %sum.at
  %mean = fdiv $T %sum, %divisor
  %base.k_at = getelementptr $T, ptr %base, i64 %k
  %base.k = load $T, ptr %base.k_at
  %value = fadd $T %mean, %base.k
  %change.k_at = getelementptr i32, ptr %change, i64 %k
  %change.k = load i32, ptr %change.k_at
  %negates = icmp eq i32 %change.k, 1
  %negated = fneg $T %value
  %value.1 = select i1 %negates, $T %negated, $T %value
  %complements = icmp eq i32 %change.k, 2
  %complement = fsub $T 1.0, %value
  %value.2 = select i1 %complements, $T %complement, $T %value.1
  %silences = icmp eq i32 %change.k, 3
  %value.3 = select i1 %silences, $T 0.0, $T %value.2
  %single = $T_TO_FLOAT $T %value.3 to float
  %transformable = $FLOAT_TO_O float %single to $O
  %plain = $T_TO_O $T %value.3 to $O
  %score = select i1 %is_plain, $O %plain, $O %transformable
  %to.k = getelementptr $O, ptr %to, i64 %k
  store $O %score, ptr %to.k
  %higher = fcmp ogt float %single, %highest
  %highest.next = select i1 %higher, float %single, float %highest
  %k.next = add i64 %k, 1
  %k.more = icmp ult i64 %k.next, %n_targets
  br i1 %k.more, label %target, label %choose
choose:
  switch i64 %transform, label %done [ i64 1, label %logistic
                                       i64 2, label %softmax
                                       i64 3, label %softmax ]

logistic:
  %l = phi i64 [ 0, %choose ], [ %l.next, %logistic ]
  %l.at = getelementptr $O, ptr %to, i64 %l
  %l.given = load $O, ptr %l.at
  %l.x = $O_TO_FLOAT $O %l.given to float
  %l.y = call float @logistic(float %l.x)
  %l.score = $FLOAT_TO_O float %l.y to $O
  store $O %l.score, ptr %l.at
  %l.next = add i64 %l, 1
  %l.more = icmp ult i64 %l.next, %n_targets
  br i1 %l.more, label %logistic, label %done

; Under the second kind, what is nearly zero is not raised and does not count in the total.
softmax:
  %counts_all = icmp eq i64 %transform, 2
  %lowered = fneg float %highest.next
  %low = call float @expf(float %lowered)
  br label %raise
raise:
  %r = phi i64 [ 0, %softmax ], [ %r.next, %raise ]
  %total = phi float [ 0.0, %softmax ], [ %total.next, %raise ]
  %r.at = getelementptr $O, ptr %to, i64 %r
  %r.given = load $O, ptr %r.at
  %r.x = $O_TO_FLOAT $O %r.given to float
  %above = fcmp ogt float %r.x, 0x3E7AD7F2A0000000
  %below = fcmp olt float %r.x, 0xBE7AD7F2A0000000
  %counts.1 = or i1 %above, %below
  %counts = or i1 %counts.1, %counts_all
  %power = fsub float %r.x, %highest.next
  %raised = call float @expf(float %power)
  %weak = fmul float %r.x, %low
  %r.y = select i1 %counts, float %raised, float %weak
  %r.score = $FLOAT_TO_O float %r.y to $O
  store $O %r.score, ptr %r.at
  %part = select i1 %counts, float %raised, float 0.0
  %total.next = fadd float %total, %part
  %r.next = add i64 %r, 1
  %r.more = icmp ult i64 %r.next, %n_targets
  br i1 %r.more, label %raise, label %share
share:
  %s = phi i64 [ 0, %raise ], [ %s.next, %share ]
  %s.at = getelementptr $O, ptr %to, i64 %s
  %s.given = load $O, ptr %s.at
  %s.x = $O_TO_FLOAT $O %s.given to float
  %s.y = fdiv float %s.x, %total.next
  %s.score = $FLOAT_TO_O float %s.y to $O
  store $O %s.score, ptr %s.at
  %s.next = add i64 %s, 1
  %s.more = icmp ult i64 %s.next, %n_targets
  br i1 %s.more, label %share, label %done
done:
  ret void
}

; The logistic function as ONNX Runtime computes it: 1 / (1 + exp(-|x|)), or one less that. The exponential is the C
; library's, the very function that it calls.
define internal float @logistic(float %x) noinline {
  %size = call float @llvm.fabs.f32(float %x)
  %power = fneg float %size
  %raised = call float @expf(float %power)
  %below = fadd float 1.0, %raised
  %upper = fdiv float 1.0, %below
  %lower = fsub float 1.0, %upper
  %negative = fcmp olt float %x, 0.0
  %y = select i1 %negative, float %lower, float %upper
  ret float %y
}

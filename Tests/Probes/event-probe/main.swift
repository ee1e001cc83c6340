import Model
import Runtime

// event-probe ROOT NAME COUNT [WORDS]: writes so many events of one VPS to the event log of a root, numbered from 0.
do throws(CtrError) {
    let words = CommandLine.arguments
    let log = EventLog(try Host(root: words[1], state: words[1] + "/state"))
    let text = words.count > 4 ? words[4] : ""
    for number in 0..<Int64(words[3])! {
        log.append(.changed, vps: words[2], detail: ["number": .number(number), "text": .text(text)])
    }
} catch {
    fatalError("\(error)")
}
